"""The reward `format`: whether a completion has the form that the answer style asks for."""

from collections.abc import Sequence
from typing import ClassVar

from warmrl.api import Problem, Reward
from warmrl_rewards.config import FormatConfig


class Format(Reward[FormatConfig]):
    """1.0 for a well-formed completion, else 0.0 (the style's `well_formed`)."""

    reads_gold: ClassVar[bool] = False

    def score(self, problem: Problem, completions: Sequence[str]) -> list[float]:
        """1.0 or 0.0 for each completion, in order."""
        return [float(self.style.well_formed(completion)) for completion in completions]
