"""How two series of numbers along one training run go together; neighbouring steps are not independent."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import rankdata

from warmrl.stats.resampling import Array

LEAST = 10
"""Fewest steps about which anything is said."""


@dataclass(frozen=True)
class Correlation:
    """Spearman's rank correlation of n steps with its interval; None where it isn't defined, or there are too few."""

    value: float | None
    low: float | None
    high: float | None
    n: int


def rank_correlation(
    first: ArrayLike, second: ArrayLike, *, level: float = 0.95, draws: int = 2_000, seed: int = 0
) -> Correlation:
    """Spearman's rho of two series (n,), its percentile interval from a moving-block bootstrap (Kuensch 1989).

    Blocks of about n^(1/3) neighbouring steps are drawn whole, so that what one step has of the one before it is kept;
    a trend that both follow over the whole run still makes them correlated, and is no cause. Steps where one of the
    two is missing (NaN) are left out. A series that never changes has no correlation.
    """
    x, y = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    kept = np.isfinite(x) & np.isfinite(y)
    x, y = x[kept], y[kept]
    n = len(x)
    if n < LEAST or np.ptp(x) == 0 or np.ptp(y) == 0:
        return Correlation(None, None, None, n)
    block = math.ceil(n ** (1 / 3))
    starts = np.random.default_rng(seed).integers(n - block + 1, size=(draws, -(-n // block)))
    picks = (starts[:, :, None] + np.arange(block)).reshape(draws, -1)[:, :n]
    replicates = spearman(x[picks], y[picks])
    replicates = replicates[np.isfinite(replicates)]
    if not len(replicates):
        return Correlation(float(spearman(x, y)), None, None, n)
    low, high = np.quantile(replicates, ((1 - level) / 2, (1 + level) / 2))
    return Correlation(float(spearman(x, y)), float(low), float(high), n)


def spearman(first: Array, second: Array) -> Array:
    """Pearson's correlation of the ranks along the last axis; ties share their mean rank."""
    ranks = [rankdata(one, axis=-1) for one in (first, second)]
    x, y = (one - one.mean(axis=-1, keepdims=True) for one in ranks)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((x * y).sum(-1) / np.sqrt((x**2).sum(-1) * (y**2).sum(-1)))
