"""Group-relative advantages: A_i = (r_i - mean r) / (std r + 1e-6), std with G - 1 in the denominator."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, stdev

# EasyR1's constant (verl/trainer/core_algos.py).
EPSILON = 1e-6


def group_advantages(rewards: Sequence[float], *, scale: bool = True) -> list[float]:
    """The advantage of each of a group's G completions; zeros when all rewards are equal.

    Args:
        rewards: G total rewards of one problem's completions.
        scale: Divide by the standard deviation (GRPO), or leave centred (Dr. GRPO).
    """
    if max(rewards) == min(rewards):
        return [0.0] * len(rewards)
    mean = fmean(rewards)
    width = stdev(rewards) + EPSILON if scale else 1.0
    return [(reward - mean) / width for reward in rewards]
