"""The Generalization Factor: how far what a policy learnt in its own domain carries over to others, as one number.

With G_ID and G_OOD the gains (or the scores) in and out of domain,

    GF = (1 + beta^2) G_ID G_OOD / (beta^2 G_ID + G_OOD)

the weighted harmonic mean (an F-measure) in which the out-of-domain side has the part of recall: beta > 1 weighs it
more. Source: SPECS (arXiv:2510.25801), beta = 2. Limits: equal sides give that side; beta to infinity G_OOD, to 0
G_ID; one side to 0 gives 0. The paper has no rule for a side that is not above zero: here the factor is 0, and flagged.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from warmrl.stats.intervals import numbered, observed, places
from warmrl.stats.resampling import Array, Sums, resample_counts
from warmrl.stats.suites import Score


@dataclass(frozen=True)
class Side:
    """One suite's score of a checkpoint and of what its gain is over (None: of nothing), problem by problem.

    A problem that one of the two lacks is left out of both. `share` weighs the suite among those of its side.
    """

    ids: Sequence[str]
    score: Score
    baseline: Score | None = None
    clusters: Sequence[Hashable] | None = None
    share: float = 1.0


@dataclass(frozen=True)
class Factor:
    """A Generalization Factor with its interval, and the two sides behind it; None where nothing can be said.

    `clamped`: a side was not above zero, so the factor is 0. `clamped_draws` is the share of resamples in which that
    was so: where it is large the interval begins at 0 because of the clamp.
    """

    value: float | None
    low: float | None
    high: float | None
    in_domain: float | None
    out_of_domain: float | None
    clamped: bool
    clamped_draws: float


def generalization_factor(in_domain: ArrayLike, out_of_domain: ArrayLike, beta: float = 2.0) -> Array:
    """GF of gains or scores in and out of domain (of any shape; in shares or in percent), 0 where one is not above 0.

    Raises ValueError for a beta that is not above 0.
    """
    if not beta > 0:
        raise ValueError(f"beta is above 0; this is {beta}")
    inside, outside = np.asarray(in_domain, dtype=np.float64), np.asarray(out_of_domain, dtype=np.float64)
    outer = 1 / (1 + (1 / beta) * (1 / beta))  # beta^2 / (1 + beta^2), also where the square is beyond float64
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        value = 1 / (outer / outside + (1 - outer) / inside)
    return np.asarray(np.where(clamped(inside, outside), 0.0, value))


def clamped(in_domain: ArrayLike, out_of_domain: ArrayLike) -> np.ndarray:
    """Where the factor is not defined by its formula: a side is not above zero."""
    return np.asarray(np.minimum(in_domain, out_of_domain) <= 0)


def factor(
    in_domain: Sequence[Side],
    out_of_domain: Sequence[Side],
    *,
    beta: float = 2.0,
    level: float = 0.95,
    draws: int = 10_000,
    seed: int = 0,
) -> Factor:
    """The factor of weighted means over suites, its percentile interval over problems.

    Each suite is resampled by itself (the problems of both its checkpoints together).
    """
    sides = [*in_domain, *out_of_domain]
    found = [change(side, draws, seed + number) for number, side in enumerate(sides)]
    if any(one is None for one in found):
        return Factor(None, None, None, None, None, False, 0.0)
    known = [one for one in found if one is not None]
    inside = mean(known[: len(in_domain)], [side.share for side in in_domain])
    outside = mean(known[len(in_domain) :], [side.share for side in out_of_domain])
    values = generalization_factor(inside, outside, beta)  # the estimate, then the resamples
    replicates = values[1:][np.isfinite(values[1:])]
    low, high = np.quantile(replicates, ((1 - level) / 2, (1 + level) / 2))
    cut = clamped(inside, outside)
    ends = float(values[0]), float(low), float(high), float(inside[0]), float(outside[0])
    return Factor(*ends, bool(cut[0]), float(cut[1:].mean()))


def mean(changes: Sequence[Array], shares: Sequence[float]) -> Array:
    """The weighted mean of changes (1 + draws,) over suites."""
    return np.average(np.array(changes), axis=0, weights=shares)


def change(side: Side, draws: int, seed: int) -> Array | None:
    """A suite's score less its baseline's, then the same over each resample: (1 + draws,); None without a problem."""
    scores = [side.score] if side.baseline is None else [side.score, side.baseline]
    order = places(side.ids, np.shape(side.score.values))
    clusters = numbered(side.clusters, order)
    both = [observed(one.values, one.weights, clusters, order) for one in scores]
    kept = np.logical_and.reduce([one.weights > 0 for one in both])
    both = [one.only(kept) for one in both]
    if both[0].n == 0:
        return None
    ratios = [one.ratio for one in both]
    sums = Sums(ratios, lambda: resample_counts(len(ratios[0].numerators), draws, seed), draws)
    own, *before = (np.concatenate([[one.value], sums.scores(one)]) for one in ratios)
    return own - before[0] if before else own
