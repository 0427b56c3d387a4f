"""Paired contrasts of two scores on the same problems: difference, interval, p-values, and what size could show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import bdtr, ndtri

from warmrl.stats.intervals import (
    Array,
    Method,
    Ratio,
    gather,
    limits,
    resampled_scores,
    standard_error,
    t_limits,
    weighted,
    weighted_sums,
)

NOT_RESOLVABLE = "not resolvable at this size"
POWER = 0.8


@dataclass(frozen=True)
class Contrast:
    """Second score minus first, over the problems that both have; None where nothing can be said.

    `p` is the two-sided sign-flip permutation p, `mcnemar` the exact one for scores of 0 and 1 (None for others).
    `mde` is the difference that this many problems would show with 80 % power; None when no problem differs in its
    own way, so that there is no spread to judge by. `resolved`: the interval excludes zero, and the difference
    reaches `mde` (without one: p is small enough).
    """

    first: float | None
    second: float | None
    difference: float | None
    low: float | None
    high: float | None
    n: int
    missing: int
    p: float | None
    mcnemar: float | None
    mde: float | None
    degenerate: bool
    resolved: bool

    @property
    def words(self) -> str:
        """What may be said of the difference, in plain words."""
        if self.difference is None:
            return "no problem in common"
        if self.resolved:
            return "up" if self.difference > 0 else "down"
        return NOT_RESOLVABLE


def contrast(
    first: ArrayLike,
    second: ArrayLike,
    first_weights: ArrayLike | None = None,
    second_weights: ArrayLike | None = None,
    *,
    clusters: Sequence[object] | None = None,
    level: float = 0.95,
    method: Method = "bca",
    draws: int = 10_000,
    seed: int = 0,
) -> Contrast:
    """Compare two scores problem by problem: entry i of `first` and of `second` are of the same problem.

    Both are resampled with the same draws. A problem that lacks a value on either side is left out of both.
    """
    v1, w1, _ = weighted(first, first_weights)
    v2, w2, _ = weighted(second, second_weights)
    if v1.shape != v2.shape:
        raise ValueError(f"a paired contrast needs the same problems; there are {len(v1)} and {len(v2)}")
    both = (w1 > 0) & (w2 > 0)
    one, two = gather(v1, w1 * both, clusters), gather(v2, w2 * both, clusters)
    n, missing = int((one.denominators > 0).sum()), int((~both).sum())
    if n == 0:
        return Contrast(None, None, None, None, None, 0, missing, None, None, None, True, False)
    difference, influence = two.value - one.value, two.influence() - one.influence()
    flat = n == 1 or bool(np.allclose(influence, 0, atol=1e-12))
    low, high = difference, difference
    if not flat and method == "t":
        low, high = t_limits(difference, influence, level)
    elif not flat:
        before, after = resampled_scores(draws, seed, one, two)
        low, high, _ = limits(difference, after - before, two.leave_one_out() - one.leave_one_out(), level, method)
    p = sign_flip(one, two, draws, seed)
    mde = None if flat else minimum_detectable(standard_error(influence), level)
    plain = clusters is None and bool((w1[both] == 1).all() and (w2[both] == 1).all())
    exact = mcnemar(v1[both], v2[both]) if plain else None
    resolved = (low > 0 or high < 0) and (p <= 1 - level if mde is None else abs(difference) >= mde)
    return Contrast(one.value, two.value, difference, low, high, n, missing, p, exact, mde, flat, resolved)


def minimum_detectable(standard_error: float, level: float = 0.95, power: float = POWER) -> float:
    """Smallest true difference found with probability `power`: (z_level + z_power) times the standard error.

    The sample-size formula of Miller 2024 (arXiv:2411.00640), read backwards; 2.8016 at 95 % and 80 %.
    """
    return float((ndtri((1 + level) / 2) + ndtri(power)) * standard_error)


def mcnemar(first: Array, second: Array) -> float | None:
    """Exact two-sided McNemar p: the binomial test of the problems that changed; None unless all are 0 or 1."""
    if not (np.isin(first, (0, 1)).all() and np.isin(second, (0, 1)).all()):
        return None
    gained, lost = int((second > first).sum()), int((second < first).sum())
    return min(1.0, 2 * float(bdtr(min(gained, lost), gained + lost, 0.5))) if gained + lost else 1.0


@lru_cache(maxsize=4)
def flips(n: int, draws: int, seed: int) -> NDArray[np.int8]:
    """Random signs, +1 or -1: (draws, n); a pure function of its arguments, apart from the bootstrap's draws."""
    signs = 2 * np.random.default_rng([seed, 1]).integers(2, size=(draws, n), dtype=np.int8) - 1
    signs.flags.writeable = False
    return signs


def sign_flip(first: Ratio, second: Ratio, draws: int, seed: int) -> float:
    """Two-sided permutation p: how often swapping the two sides of random units differs by as much or more.

    (1 + hits) / (1 + draws), so never zero. With equal weights it flips the signs of the units' differences.
    """
    half = np.stack([first.numerators - second.numerators, first.denominators - second.denominators]) / 2
    middle = np.stack([first.numerators + second.numerators, first.denominators + second.denominators]).sum(axis=1) / 2
    swing = weighted_sums(flips(half.shape[1], draws, seed), half)
    one, two = middle[:, None] + swing, middle[:, None] - swing
    with np.errstate(invalid="ignore", divide="ignore"):
        permuted = np.abs(two[0] / two[1] - one[0] / one[1])
    hits = int((permuted >= abs(second.value - first.value) - 1e-12).sum())
    return (1 + hits) / (1 + draws)
