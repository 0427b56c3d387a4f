"""Until which step two arms stay apart: contrasts along a run, judged together, and whether a start foretells a gain.

Steps are judged in order from both sides: a step stands only if every step before it stands too, or every one after
it. So the chance of any false claim along one arm is at most twice that at one step, however many steps there are and
however they depend on one another (fixed sequences, one from each end, each at half the level; Maurer, Hothorn and
Lehmacher 1995), and Bonferroni over the arms holds it for all. A difference in the middle alone is not found.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import ArrayLike

from warmrl.stats.crossed import Crossed
from warmrl.stats.series import spearman

FEWEST_ARMS = 6
"""Below so many arms nothing is said of how a start goes with a gain: a bootstrap over arms has too few to draw."""
SIDES = 2


@dataclass(frozen=True)
class Rho:
    """Spearman's rank correlation over runs; `low` and `high` None where there are too few arms to tell."""

    value: float | None
    low: float | None
    high: float | None
    arms: int
    runs: int


def in_order(contrasts: Sequence[Crossed], arms: int, level: float) -> list[Crossed]:
    """An arm's contrasts with the control, step by step, each with p adjusted along its steps and over `arms` arms."""
    ps = [1.0 if one.p is None else one.p for one in contrasts]
    forth, back = list(accumulate(ps, max)), list(accumulate(reversed(ps), max))[::-1]
    adjusted = [min(1.0, SIDES * arms * min(pair)) for pair in zip(forth, back, strict=True)]
    return [one.in_family(p, arms * len(ps), level) for one, p in zip(contrasts, adjusted, strict=True)]


def last_apart(steps: Sequence[int], contrasts: Sequence[Crossed]) -> int | None:
    """The last step at which two arms are told apart; None where they never are."""
    return max((step for step, one in zip(steps, contrasts, strict=True) if one.resolved), default=None)


def clustered_rho(
    first: ArrayLike, second: ArrayLike, arms: Sequence[str], *, level: float = 0.95, draws: int = 2_000, seed: int = 0
) -> Rho:
    """Spearman's rho of two numbers of each run, (R,), its percentile interval from a bootstrap of whole arms.

    Runs of one arm are alike, so arms are drawn, each with all its runs. Runs that lack a number (NaN) are left out.
    """
    x, y = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    kept = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    members: dict[str, list[int]] = {}
    for place in kept:
        members.setdefault(arms[place], []).append(int(place))
    count = (len(members), len(kept))
    if len(members) < 2 or np.ptp(x[kept]) == 0 or np.ptp(y[kept]) == 0:
        return Rho(None, None, None, *count)
    value = float(spearman(x[kept], y[kept]))
    if len(members) < FEWEST_ARMS:
        return Rho(value, None, None, *count)
    own = list(members.values())
    picks = np.random.default_rng(seed).integers(len(own), size=(draws, len(own)))
    drawn = [[place for arm in row for place in own[arm]] for row in picks]
    found = [float(spearman(x[rows], y[rows])) for rows in drawn]
    known = [one for one in found if math.isfinite(one)]
    low, high = np.quantile(known, ((1 - level) / 2, (1 + level) / 2))
    return Rho(value, float(low), float(high), *count)
