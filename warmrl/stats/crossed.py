"""Claims about methods: a score, or the difference of two, with an interval crossed over seeds and problems.

An arm's scores are a matrix, a row a seed's run and a column a problem: y = mean + seed + problem + their interaction
(sampling noise among it). Another study would draw other seeds and other problems, so both vary:

    variance of second - first = sum over arms of seeds' variance / S  +  problems' variance of the difference / N
                                 +  sum over arms of interaction / (S N)

Each part is estimated from mean squares, as in an analysis of variance of two crossed random effects, and is never
below zero. Degrees of freedom are Satterthwaite's (1946); the seeds' share of the spread is the product of their part
and their whole mean square, so that it fades out where the part does (the part squared covers 92 % at worst, the mean
square squared 98.7 %: measured). Seeds of two arms are independent, problems are the same. Measured coverage of nominal 95 % (2 000 simulations each, shares and pass@16
of 0 and 1, 3 and 5 seeds, 50 to 601 problems, between-seed variance from none to far above the rest): MEASURED;
an interval over problems alone falls to 8 %, one over the seeds' means alone to 79 %, each where the other varies.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtr, stdtrit

from warmrl.stats.contrasts import NOT_RESOLVABLE, POWER, stands
from warmrl.stats.intervals import numbered, observed, places
from warmrl.stats.resampling import Array

FEWEST_SEEDS = 3
"""Below three runs of each arm nothing is said of a method: two seeds give one degree of freedom."""


@dataclass(frozen=True)
class Crossed:
    """A method's score (`difference`, `first` and `p` None), or second minus first; None where nothing can be said.

    `seeds` are the runs of each arm, `n` the problems (or clusters) and `missing` those left out because some run
    lacks a value. `freedom` are degrees of freedom, `p` is two-sided, `adjusted` the same after Holm over `family`
    contrasts. `mde` is the difference found with 80 % power at these seeds and problems. `degenerate`: nothing
    varies, so there is no spread to judge by. `resolved`: the interval excludes zero, the difference reaches `mde`,
    and `adjusted` is at most 1 - level.
    """

    first: float | None
    second: float | None
    difference: float | None
    low: float | None
    high: float | None
    standard_error: float | None
    freedom: float | None
    p: float | None
    mde: float | None
    seeds: tuple[int, ...]
    n: int
    missing: int
    degenerate: bool
    resolved: bool = False
    adjusted: float | None = None
    family: int = 1

    @property
    def words(self) -> str:
        """What may be said of the difference, in plain words."""
        if self.second is None:
            return "no problem in common"
        if self.resolved and self.difference:
            return "up" if self.difference > 0 else "down"
        return NOT_RESOLVABLE

    def in_family(self, adjusted: float | None, family: int, level: float) -> Crossed:
        """The same contrast, judged by its p adjusted over `family` contrasts."""
        resolved = stands(self.difference, self.low, self.high, self.mde, adjusted, level)
        return replace(self, adjusted=adjusted, family=family, resolved=resolved and not self.degenerate)


@dataclass(frozen=True)
class Arm:
    """One arm: score, variance `between` its seeds' means, mean square of the interaction, and units' means (U,)."""

    score: float
    seeds: int
    between: float
    interaction: float
    units: Array

    @classmethod
    def of(cls, rows: Array) -> Arm:
        """From one row of unit scores a seed, (S, U)."""
        seeds, n = rows.shape
        means, units = rows.mean(axis=1), rows.mean(axis=0)
        away = rows - means[:, None] - units + means.mean()
        interaction = float((away**2).sum() / ((seeds - 1) * (n - 1)))
        return cls(float(means.mean()), seeds, float(means.var(ddof=1)), interaction, units)


def method_mean(
    values: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    ids: Sequence[str] | None = None,
    clusters: Sequence[Hashable] | None = None,
    level: float = 0.95,
) -> Crossed:
    """One arm's mean over seeds of `values` (S, N), with its crossed interval; arguments as in `method_contrast`."""
    (rows,), missing = unit_scores([(values, weights)], ids, clusters)
    if rows.shape[1] < 1:
        return Crossed(None, None, None, None, None, None, None, None, None, (len(rows),), 0, missing, True)
    return judged([rows], missing, level)


def method_contrast(
    first: ArrayLike,
    second: ArrayLike,
    first_weights: ArrayLike | None = None,
    second_weights: ArrayLike | None = None,
    *,
    ids: Sequence[str] | None = None,
    clusters: Sequence[Hashable] | None = None,
    level: float = 0.95,
) -> Crossed:
    """Second arm's mean minus the first's: (S_first, N) and (S_second, N) scores of the same N problems.

    A weighted score (a token mean) is the ratio of its sums within each run; its problems enter by their influence
    on it. A problem that any run lacks (None, NaN) is left out of all; `clusters` count as one problem each; with
    `ids` the order of problems doesn't matter to the last bit. Raises ValueError for fewer than three seeds.
    """
    (one, two), missing = unit_scores([(first, first_weights), (second, second_weights)], ids, clusters)
    seeds = (len(one), len(two))
    if one.shape[1] < 1:
        return Crossed(None, None, None, None, None, None, None, None, None, seeds, 0, missing, True)
    return judged([one, two], missing, level)


def judged(arms: Sequence[Array], missing: int, level: float) -> Crossed:
    """The crossed interval of one arm's unit scores, or of the second's minus the first's: (S, U) each."""
    n, seeds = arms[0].shape[1], tuple(len(rows) for rows in arms)
    scores = [float(rows.mean()) for rows in arms]
    estimate = scores[-1] - (scores[0] if len(arms) == 2 else 0.0)
    first, difference = (scores[0], estimate) if len(arms) == 2 else (None, None)
    variance, freedom = crossed_variance([Arm.of(rows) for rows in arms]) if n > 1 else (0.0, 1.0)
    error = float(np.sqrt(variance))
    if error <= 1e-12 * max(1.0, *map(abs, scores)):
        return Crossed(
            first, scores[-1], difference, estimate, estimate, 0.0, None, None, None, seeds, n, missing, True
        )
    reach = float(stdtrit(freedom, (1 + level) / 2))
    low, high = estimate - reach * error, estimate + reach * error
    if difference is None:
        return Crossed(None, scores[0], None, low, high, error, freedom, None, None, seeds, n, missing, False)
    p = 2 * float(stdtr(freedom, -abs(estimate) / error))
    mde = (reach + float(stdtrit(freedom, POWER))) * error
    found = Crossed(first, scores[-1], difference, low, high, error, freedom, p, mde, seeds, n, missing, False)
    return found.in_family(p, 1, level)


def crossed_variance(arms: Sequence[Arm]) -> tuple[float, float]:
    """Variance of the last arm's score (minus the first's), and its degrees of freedom."""
    n = len(arms[0].units)
    paired = arms[-1].units - (arms[0].units if len(arms) == 2 else 0.0)
    noise = sum(arm.interaction / arm.seeds for arm in arms) / n
    problems = max(0.0, float(paired.var(ddof=1)) / n - noise)
    variance, spread = problems + noise, problems**2 / (n - 1)
    for arm in arms:
        part = max(0.0, arm.between - arm.interaction / n) / arm.seeds
        variance += part
        spread += part * (arm.between / arm.seeds) / (arm.seeds - 1)
    fewest = min(arm.seeds for arm in arms) - 1
    return variance, max(float(fewest), variance**2 / spread) if spread else float(n - 1)


def unit_scores(
    arms: Sequence[tuple[ArrayLike, ArrayLike | None]],
    ids: Sequence[str] | None,
    clusters: Sequence[Hashable] | None,
) -> tuple[list[Array], int]:
    """Each arm's rows of unit scores (S, U), whose means are the runs' scores, and the problems left out.

    A unit's score is the run's plus the unit's influence on it; unweighted problems keep their values.
    """
    given = []
    for values, weights in arms:
        v = np.array(values, dtype=np.float64)
        if v.ndim != 2 or (weights is not None and np.shape(weights) != v.shape):
            raise ValueError("an arm's values (and weights) are a matrix, a row a seed and a column a problem")
        if len(v) < FEWEST_SEEDS:
            raise ValueError(
                f"a claim about methods needs {FEWEST_SEEDS} seeds of each arm or more; there are {len(v)}"
            )
        w = np.ones_like(v) if weights is None else np.array(weights, dtype=np.float64)
        given.append((np.where(w == 0, np.nan, v), w))
    if len({v.shape[1] for v, _ in given}) > 1:
        raise ValueError("both arms are scored on the same problems")
    kept = ~np.any(np.concatenate([np.isnan(v) | np.isnan(w) for v, w in given]), axis=0)
    order = places(ids, (len(kept),))
    listed = (np.arange(len(kept)) if order is None else order)[kept if order is None else kept[order]]
    groups = numbered(clusters, listed)
    rows: list[Array] = []
    for v, w in given:
        if not len(listed):
            rows.append(np.empty((len(v), 0)))
            continue
        ratios = [
            observed(value, weight, groups).ratio for value, weight in zip(v[:, listed], w[:, listed], strict=True)
        ]
        rows.append(np.array([ratio.value + ratio.influence() for ratio in ratios]))
    return rows, int((~kept).sum())
