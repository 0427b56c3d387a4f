"""Settings of `rejection_sft` and `short`."""

from typing import Annotated, ClassVar

from pydantic import Field

from warmrl.api import MethodConfig, RewardConfig


class RejectionSFTConfig(MethodConfig):
    """Negative log-likelihood of the policy's own right answers (rejection sampling, one round a step)."""

    reads: ClassVar[frozenset[str]] = frozenset({"grader", "sampler"})

    samples_per_prompt: Annotated[int, Field(ge=1)] = 4
    """Answers drawn per prompt; the right ones are trained on."""


class ShortConfig(RewardConfig):
    """1 up to `full` characters, falling in a straight line to 0 at twice as many."""

    full: Annotated[int, Field(ge=1)] = 80
    """Characters of the longest completion with the whole reward."""
