"""Paired contrasts of two scores on the same problems: difference, interval, p-values, and what size could show."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import bdtr, ndtri

from warmrl.stats.intervals import (
    Method,
    Observed,
    limits,
    numbered,
    observed,
    places,
    standard_error,
    t_limits,
)
from warmrl.stats.resampling import CLOSE, Array, Ratio, Sums, resample_counts, swapped_differences, swaps

NOT_RESOLVABLE = "not resolvable at this size"
POWER = 0.8


@dataclass(frozen=True)
class Contrast:
    """Second score minus first, over the problems that both have; None where nothing can be said.

    `p` is the two-sided sign-flip permutation p, `adjusted` the same after Holm over the `family` of contrasts that it
    was declared with, `mcnemar` the exact p for scores of 0 and 1 (None for others). `mde` is the difference that this
    many problems would show with 80 % power; None when no problem differs in its own way, so that there is no spread
    to judge by. `resolved`: the interval excludes zero, the difference reaches `mde` (where there is one), and
    `adjusted` is at most 1 - level.
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
    adjusted: float | None
    family: int = 1

    @property
    def words(self) -> str:
        """What may be said of the difference, in plain words."""
        if self.difference is None:
            return "no problem in common"
        if self.resolved:
            return "up" if self.difference > 0 else "down"
        return NOT_RESOLVABLE

    def in_family(self, adjusted: float | None, family: int, level: float) -> Contrast:
        """The same contrast, judged by its p adjusted over `family` contrasts."""
        resolved = stands(self.difference, self.low, self.high, self.mde, adjusted, level)
        return replace(self, adjusted=adjusted, family=family, resolved=resolved)


def contrast(
    first: ArrayLike,
    second: ArrayLike,
    first_weights: ArrayLike | None = None,
    second_weights: ArrayLike | None = None,
    *,
    ids: Sequence[str] | None = None,
    clusters: Sequence[Hashable] | None = None,
    level: float = 0.95,
    method: Method = "bca",
    draws: int = 10_000,
    seed: int = 0,
) -> Contrast:
    """Compare two scores problem by problem: entry i of `first` and of `second` are of the same problem.

    Both are resampled with the same draws. A problem that lacks a value on either side is left out of both. `ids` and
    `clusters` as in `interval`; a difference has no Wilson interval, so it gets BCa. `suites` does many at once.
    """
    order = places(ids, np.shape(first))
    groups = numbered(clusters, order)
    one, two = shared(observed(first, first_weights, groups, order), observed(second, second_weights, groups, order))
    n, resampled = len(one.ratio.numerators), needs_resamples(one, two, method)
    ratios = [one.ratio, two.ratio]
    resamples = Sums(ratios if resampled else [], lambda: resample_counts(n, draws, seed), draws)
    permutations = Sums(ratios if one.n else [], lambda: swaps(n, draws, seed), draws)
    return contrast_of(one, two, resamples, permutations, level, method)


def shared(first: Observed, second: Observed) -> tuple[Observed, Observed]:
    """Both scores on the problems that have a value on both sides."""
    if len(first.values) != len(second.values):
        raise ValueError(
            f"a paired contrast needs the same problems; there are {len(first.values)} and {len(second.values)}"
        )
    both = (first.weights > 0) & (second.weights > 0)
    return first.only(both), second.only(both)


def needs_resamples(first: Observed, second: Observed, method: Method) -> bool:
    """Whether `contrast_of` reads resamples of these two."""
    return first.n > 0 and method != "t" and not unmoved(first, second)


def unmoved(first: Observed, second: Observed) -> bool:
    """Whether no unit differs in its own way: every resample gives the same difference."""
    one, two = first.ratio, second.ratio
    near = CLOSE * max(1.0, abs(one.value), abs(two.value))
    return first.n == 1 or bool(np.abs(two.influence() - one.influence()).max() <= near)


def contrast_of(
    first: Observed, second: Observed, resamples: Sums, permutations: Sums, level: float, method: Method
) -> Contrast:
    """The contrast of two `shared` scores, their sums over resamples and permutations at hand where they are needed."""
    n, missing = first.n, int((first.weights == 0).sum())
    if n == 0:
        return Contrast(None, None, None, None, None, 0, missing, None, None, None, True, False, None)
    one, two = first.ratio, second.ratio
    difference, influence = two.value - one.value, two.influence() - one.influence()
    flat = unmoved(first, second)
    low = high = difference
    if not flat and method == "t":
        low, high = t_limits(difference, influence, level)
    elif not flat:
        replicates = resamples.scores(two) - resamples.scores(one)
        low, high, _ = limits(difference, replicates, two.leave_one_out() - one.leave_one_out(), level, method)
    p = sign_flip(one, two, permutations)
    mde = None if flat else minimum_detectable(standard_error(influence), level)
    both = first.weights > 0
    exact = mcnemar(first.values[both], second.values[both]) if first.binary and second.binary else None
    found = Contrast(one.value, two.value, difference, low, high, n, missing, p, exact, mde, flat, False, p)
    return found.in_family(p, 1, level)


def stands(
    difference: float | None,
    low: float | None,
    high: float | None,
    mde: float | None,
    adjusted: float | None,
    level: float,
) -> bool:
    """Whether a difference may be called one: interval without zero, not below `mde`, adjusted p small enough."""
    if difference is None or low is None or high is None or adjusted is None:
        return False
    return (low > 0 or high < 0) and (mde is None or abs(difference) >= mde) and adjusted <= 1 - level + CLOSE


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


def sign_flip(first: Ratio, second: Ratio, permutations: Sums) -> float:
    """Two-sided permutation p: how often swapping the two sides of random units differs by as much or more.

    (1 + hits) / (1 + draws), so never zero. With equal weights it flips the signs of the units' differences.
    """
    permuted = np.abs(swapped_differences(first, second, permutations))
    close = CLOSE * max(abs(first.value), abs(second.value))
    hits = int((permuted >= abs(second.value - first.value) - close).sum())
    return (1 + hits) / (1 + len(permuted))


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for their number by Holm 1979, in the order given: m p, (m - 1) p, … made to rise.

    Holds the chance of any false claim in the family at the level, however the contrasts depend on one another.
    """
    m, worst = len(p_values), 0.0
    adjusted = [0.0] * m
    for rank, place in enumerate(sorted(range(m), key=p_values.__getitem__)):
        worst = max(worst, min(1.0, (m - rank) * p_values[place]))
        adjusted[place] = worst
    return adjusted
