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
from scipy.special import ndtri

from warmrl.stats.crossed import Crossed
from warmrl.stats.series import spearman

FEWEST_ARMS = 6
"""Below so many arms nothing is said of how a start goes with a gain."""
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
    """An arm's contrasts with the control, step by step, each with p adjusted along its steps and over `arms` arms.

    `family` is what the smaller of the two running p is multiplied by, however many steps there are.
    """
    ps = [1.0 if one.p is None else one.p for one in contrasts]
    forth, back = list(accumulate(ps, max)), list(accumulate(reversed(ps), max))[::-1]
    adjusted = [min(1.0, SIDES * arms * min(pair)) for pair in zip(forth, back, strict=True)]
    return [one.in_family(p, SIDES * arms, level) for one, p in zip(contrasts, adjusted, strict=True)]


def last_apart(steps: Sequence[int], contrasts: Sequence[Crossed]) -> int | None:
    """The last step at which two arms are told apart; None where they never are."""
    return max((step for step, one in zip(steps, contrasts, strict=True) if one.resolved), default=None)


def clustered_rho(first: ArrayLike, second: ArrayLike, arms: Sequence[str], *, level: float = 0.95) -> Rho:
    """Spearman's rho of two numbers of each run, (R,), with the interval that as many independent runs as arms give.

    Runs of one arm are alike, so an arm counts once: z(rho) +- quantile sqrt(1.06 / (arms - 3)) (Fieller, Hartley and
    Pearson 1957). A bootstrap over so few arms draws some of them twice, whose ties pull rho towards zero. Runs that
    lack a number (NaN) are left out.
    """
    x, y = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    kept = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    m = len({arms[place] for place in kept})
    if m < 2 or np.ptp(x[kept]) == 0 or np.ptp(y[kept]) == 0:
        return Rho(None, None, None, m, len(kept))
    value = float(spearman(x[kept], y[kept]))
    if m < FEWEST_ARMS:
        return Rho(value, None, None, m, len(kept))
    nearest = 1 - 12 / (m * (m**2 - 1))  # of m ranks, two neighbours swapped: a rho of one is no certainty
    z = math.atanh(min(max(value, -nearest), nearest))
    reach = float(ndtri((1 + level) / 2)) * math.sqrt(1.06 / (m - 3))
    return Rho(value, min(value, math.tanh(z - reach)), max(value, math.tanh(z + reach)), m, len(kept))
