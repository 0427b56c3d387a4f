"""What becomes of the sampled answers, step by step, and what to do where a step leaves none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from warmrl.api import FunnelStep

FINISHED, BEYOND_KEEP = "finished", "more than `keep`"
LACKING = {
    FINISHED: "Raise `max_tokens`.",
    "right": "Train the chosen policy longer, raise `samples_per_prompt`, or check the grader and the answer style.",
    "well-formed": "Train the chosen policy longer, with more weight on the reward `format`.",
    "distinct": "",  # the first of equal texts stays
    "consistent": "Look at a few answers; ask a `judge` instead of the rule, or set `consistent = false`.",
    "kept": "",  # `keep` is at least 1
    "paired": 'Raise `samples_per_prompt`, or set `rejected_from = "both"`, which corrupts the chosen answer there.',
}
"""By step, in order: what helps where none is left."""
STEPS = tuple(LACKING)


def funnel_of(rows: Sequence[dict[str, Any]]) -> list[FunnelStep]:
    """The steps over all rows (`sampled` and `dropped` by step and reason), each with what the one before kept."""
    left, out = sum(row["sampled"] for row in rows), []
    for step in STEPS:
        dropped: Counter[str] = Counter()
        for row in rows:
            dropped.update(row["dropped"].get(step, {}))
        taken, left = left, left - sum(dropped.values())
        out.append(FunnelStep(step, taken, left, dict(dropped)))
    return out
