"""The reward kind: completions of a problem in, numbers in a declared range out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Annotated, ClassVar, Generic, TypeVar

from pydantic import Field

from warmrl.domain.answer import AnswerStyle
from warmrl.domain.config import Config
from warmrl.domain.problem import Problem


class RewardConfig(Config):
    """Settings of any reward."""

    weight: Annotated[float, Field(ge=0)] = 1.0
    """Its share in the total: the total is the sum of weight times reward."""


C = TypeVar("C", bound=RewardConfig)


class Reward(ABC, Generic[C]):
    """Scores the completions of one problem. Must survive any text: a completion is untrusted."""

    low: ClassVar[float] = 0.0
    high: ClassVar[float] = 1.0

    def __init__(self, config: C, style: AnswerStyle) -> None:
        self.config = config
        self.style = style

    @abstractmethod
    def score(self, problem: Problem, completions: Sequence[str]) -> list[float]:
        """One finite number in [`low`, `high`] per completion, in order."""

    def canonical(self, answer: str) -> str:
        """The form under which equal answers are the same text (for diversity and majority votes)."""
        return " ".join(answer.split())

    def close(self) -> None:
        """Release worker processes, if any."""
