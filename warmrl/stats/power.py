"""How large a study must be: problems, samples and seeds for a difference, or the difference that a size shows.

The variance of the difference of two scores, each the mean over N problems of K samples, over S runs of each arm:

    seeds_A / S_A + seeds_B / S_B + problems / N
      + (interaction_A + sampling_A / K_A) / (S_A N) + (interaction_B + sampling_B / K_B) / (S_B N)

With one run of each and no claim about methods, the first two and the interactions belong to the checkpoints (nothing
of them varies), and needed problems are Miller's (2024, arXiv:2411.00640, section 5):
n = (z_{a/2} + z_b)^2 (omega^2 + sigma_A^2 / K_A + sigma_B^2 / K_B) / delta^2.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from warmrl.stats.contrasts import POWER
from warmrl.stats.crossed import FEWEST_SEEDS, Arm, Parts, unit_scores

Two = tuple[float, float]
Whole = tuple[int, int]


@dataclass(frozen=True)
class Spread:
    """Variances that a difference of two scores is made of; pairs are of the first and the second arm.

    `problems` (omega^2): of the difference of the two true scores, between problems. `sampling` (sigma^2): of one
    sample's score around its problem's, the mean over problems. `seeds`: of a run's true score between runs.
    `interaction`: of a problem's true score between runs, beyond the run's own. In squares of the score's unit.
    """

    problems: float
    sampling: Two = (0.0, 0.0)
    seeds: Two = (0.0, 0.0)
    interaction: Two = (0.0, 0.0)

    def standard_error(self, problems: float, samples: Whole = (1, 1), seeds: Whole | None = None) -> float:
        """Of the difference, with so many problems, samples of each and runs of each arm (None: of checkpoints)."""
        return math.sqrt(self.between(seeds) + self.within(samples, seeds) / problems)

    def between(self, seeds: Whole | None) -> float:
        """The variance that only more seeds reduce."""
        return sum(part / runs for part, runs in zip(self.seeds, seeds, strict=True)) if seeds else 0.0

    def within(self, samples: Whole, seeds: Whole | None) -> float:
        """The variance that more problems reduce: N times its share of the difference's."""
        runs = seeds or (1, 1)
        interaction = self.interaction if seeds else (0.0, 0.0)
        parts = zip(interaction, self.sampling, samples, runs, strict=True)
        return self.problems + sum((mixed + noise / k) / s for mixed, noise, k, s in parts)


def spread_of_checkpoints(
    first: ArrayLike, second: ArrayLike, sampling: tuple[ArrayLike, ArrayLike] = (0.0, 0.0), samples: Whole = (1, 1)
) -> Spread:
    """Variances estimated from two checkpoints' values, (N,) each, the mean of `samples` samples each.

    `sampling` is one sample's variance of each side, a number or one a problem (`binary_sampling`). The problems' own
    part is what it leaves of the variance of the differences, never below zero. Without it (a score that is no mean
    of samples, as pass@k at k = n) all variance counts as the problems', and more samples promise nothing.
    """
    one, two = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if one.shape != two.shape or one.ndim != 1 or len(one) < 2:
        raise ValueError(f"power needs two scores of the same problems, two or more; shapes {one.shape}, {two.shape}")
    noise = (float(np.asarray(sampling[0]).mean()), float(np.asarray(sampling[1]).mean()))
    left = float((two - one).var(ddof=1)) - noise[0] / samples[0] - noise[1] / samples[1]
    return Spread(max(0.0, left), noise)


def spread_of_methods(
    first: ArrayLike, second: ArrayLike, sampling: tuple[ArrayLike, ArrayLike] = (0.0, 0.0), samples: Whole = (1, 1)
) -> Spread:
    """Variances estimated from runs of two arms, (S_first, N) and (S_second, N), three seeds of each or more."""
    rows, _ = unit_scores([(first, None), (second, None)], None, None)
    arms, n = [Arm.of(arm) for arm in rows], rows[0].shape[1]
    noise = [float(np.asarray(side).mean()) for side in sampling]
    problems = float((arms[1].units - arms[0].units).var(ddof=1)) - sum(arm.interaction / arm.seeds for arm in arms)
    seeds = [max(0.0, arm.between - arm.interaction / n) for arm in arms]
    mixed = [max(0.0, arm.interaction - part / k) for arm, part, k in zip(arms, noise, samples, strict=True)]
    return Spread(max(0.0, problems), (noise[0], noise[1]), (seeds[0], seeds[1]), (mixed[0], mixed[1]))


def binary_sampling(right: ArrayLike, samples: int) -> np.ndarray:
    """Each problem's variance of one right-or-wrong sample, unbiased: c (n - c) / (n (n - 1)), c right of n samples."""
    if samples < 2:
        raise ValueError(f"sampling variance needs two samples of a problem; there is {samples}")
    c = np.asarray(right, dtype=np.float64)
    return np.asarray(c * (samples - c) / (samples * (samples - 1)))


def detectable(
    spread: Spread,
    problems: int,
    samples: Whole = (1, 1),
    seeds: Whole | None = None,
    *,
    level: float = 0.95,
    power: float = POWER,
) -> float:
    """Smallest true difference that a study of this size finds with probability `power`.

    Of checkpoints by normal quantiles; of methods (`seeds`) by the rule of `crossed`, with the
    fewest degrees of freedom that its seeds can have: what a study will estimate of them isn't known beforehand.
    """
    if seeds is None:
        return float(ndtri((1 + level) / 2) + ndtri(power)) * spread.standard_error(problems, samples)
    if min(seeds) < FEWEST_SEEDS:
        raise ValueError(
            f"a claim about methods needs {FEWEST_SEEDS} seeds of each arm or more; there are {min(seeds)}"
        )
    between, within = spread.between(seeds), spread.within(samples, seeds) / problems
    parts = Parts(between, float(min(seeds) - 1), within, float(max(1, problems - 1)))
    return parts.reach((1 + level) / 2) + parts.reach(power)


def problems_needed(
    spread: Spread,
    difference: float,
    samples: Whole = (1, 1),
    seeds: Whole | None = None,
    *,
    level: float = 0.95,
    power: float = POWER,
    most: int = 10_000_000,
) -> int | None:
    """Fewest problems with which a true `difference` is found with probability `power`; None beyond `most`.

    None is the answer where more problems cannot help: the runs differ too much, and only more seeds would.
    """
    return _fewest(lambda n: detectable(spread, n, samples, seeds, level=level, power=power), difference, 2, most)


def seeds_needed(
    spread: Spread,
    difference: float,
    problems: int,
    samples: Whole = (1, 1),
    *,
    level: float = 0.95,
    power: float = POWER,
    most: int = 10_000,
) -> int | None:
    """Fewest runs of each arm with which a true `difference` of methods is found; None beyond `most`."""
    return _fewest(
        lambda s: detectable(spread, problems, samples, (s, s), level=level, power=power),
        difference,
        FEWEST_SEEDS,
        most,
    )


def samples_needed(
    spread: Spread,
    difference: float,
    problems: int,
    seeds: Whole | None = None,
    *,
    level: float = 0.95,
    power: float = POWER,
    most: int = 1_000_000,
) -> int | None:
    """Fewest samples of each problem on both sides with which a true `difference` is found; None beyond `most`."""
    return _fewest(lambda k: detectable(spread, problems, (k, k), seeds, level=level, power=power), difference, 1, most)


def _fewest(shown: Callable[[int], float], difference: float, least: int, most: int) -> int | None:
    """The smallest size whose detectable difference is `difference` or less; `shown` falls as sizes rise."""
    if not difference > 0:
        raise ValueError(f"a difference to look for is above zero; this is {difference}")
    low, high = least, least
    while shown(high) > difference:
        if high >= most:
            return None
        low, high = high + 1, min(2 * high, most)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if shown(middle) <= difference else (middle + 1, high)
    return high
