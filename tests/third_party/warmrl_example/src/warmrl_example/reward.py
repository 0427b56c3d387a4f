"""The reward `short`."""

from collections.abc import Sequence

from warmrl.api import Problem, Reward
from warmrl_example.config import ShortConfig


class Short(Reward[ShortConfig]):
    """R = clip(2 - characters / full, 0, 1)."""

    def score(self, problem: Problem, completions: Sequence[str]) -> list[float]:
        """One number in [0, 1] per completion."""
        return [min(1.0, max(0.0, 2.0 - len(text) / self.config.full)) for text in completions]
