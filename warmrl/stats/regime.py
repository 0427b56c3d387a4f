"""Collapse and explosion of a policy's entropy: a point beside a reference (the base, the RL entry) of the same run.

What a low entropy is depends on the model and the task: a published flag, H < 0.18 nats before RL, is said to be of one
model (arXiv:2606.18487; methods A.6). So it is the ratio to the run's own reference that is judged, with its interval
over problems, paired: both entropies are of the same problems and resampled with the same draws.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from warmrl.stats.contrasts import shared
from warmrl.stats.intervals import Method, limits, numbered, observed, places
from warmrl.stats.resampling import Sums, count_blocks
from warmrl.stats.suites import Score

Kind = Literal["collapse", "explosion"]

COLLAPSE = 0.5
"""Share of the reference below which entropy has collapsed: the early-GRPO monitor of arXiv:2606.18487, a relative drop
above 0.50 (by step 150; methods A.6)."""
EXPLOSION = 2.0
"""Multiple of the reference above which entropy has exploded. Our choice, no paper's: as far up, by the logarithm."""


@dataclass(frozen=True)
class Relative:
    """An entropy (`value`) beside a reference's (`base`) over the problems of both, in nats, and their ratio.

    `low` and `high` are the ratio's interval over `n` units (problems, or clusters of them). None where nothing can be
    said: no problem in common, a reference of zero, and, of the interval, a single unit.
    """

    value: float | None
    base: float | None
    ratio: float | None
    low: float | None
    high: float | None
    n: int

    def flag(self, collapse: float = COLLAPSE, explosion: float = EXPLOSION) -> Kind | None:
        """What it is called: where the ratio and its whole interval are below `collapse`, or above `explosion`."""
        if self.ratio is None or self.low is None or self.high is None:
            return None
        if max(self.ratio, self.high) < collapse:
            return "collapse"
        return "explosion" if min(self.ratio, self.low) > explosion else None


def relatives(
    problems: Sequence[str],
    scores: Mapping[str, Score],
    pairs: Sequence[tuple[str, str]],
    *,
    clusters: Sequence[Hashable] | None = None,
    level: float = 0.95,
    method: Method = "bca",
    draws: int = 10_000,
    seed: int = 0,
) -> dict[tuple[str, str], Relative]:
    """The `Relative` of each pair (reference, point) of `scores`, entry i of all of them of `problems[i]`, an id.

    Intervals are bootstrap ones: percentiles if `method` says so, else BCa. They are pointwise: over many points some
    are to be called wrongly, and of a ratio that is the threshold itself each is with a chance of (1 - level) / 2.
    Raises ValueError for an id that occurs twice and a pair that names no score.
    """
    unknown = sorted({name for pair in pairs for name in pair} - set(scores))
    if unknown:
        raise ValueError(f"pairs name points without scores: {', '.join(unknown)}")
    order = places(problems, (len(problems),))
    groups = numbered(clusters, order)
    data = {name: observed(one.values, one.weights, groups, order) for name, one in scores.items()}
    both = {pair: shared(data[pair[0]], data[pair[1]]) for pair in pairs}
    units = len(problems) if groups is None else int(groups.max(initial=-1)) + 1
    ratios = [side.ratio for sides in both.values() if sides[0].n for side in sides]
    sums = Sums(ratios, lambda: count_blocks(units, draws, seed), draws)
    out = {}
    for pair, (reference, point) in both.items():
        base, one, n = reference.ratio, point.ratio, reference.n
        if not n or base.value <= 0:
            out[pair] = Relative(one.value if n else None, base.value if n else None, None, None, None, n)
            continue
        ratio, low, high = one.value / base.value, None, None
        if n > 1:
            with np.errstate(invalid="ignore", divide="ignore"):
                replicates = sums.scores(one) / sums.scores(base)
                without = one.leave_one_out() / base.leave_one_out()
            how: Method = "percentile" if method == "percentile" else "bca"
            low, high, _ = limits(ratio, replicates, without, level, how)
        out[pair] = Relative(one.value, base.value, ratio, low, high, n)
    return out
