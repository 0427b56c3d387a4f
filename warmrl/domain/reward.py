"""The reward kind: completions of a problem in, numbers in a declared range out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Annotated, Any, ClassVar, Generic, TypeVar

from pydantic import Field

from warmrl.domain.answer import AnswerStyle
from warmrl.domain.config import Choice, Config, choices_in
from warmrl.domain.problem import Problem
from warmrl.domain.sample import Grade, Verdict
from warmrl.domain.stages import NOT_SEMANTIC


class RewardConfig(Config):
    """Settings of any reward."""

    weight: Annotated[float, Field(ge=0)] = 1.0
    """Its share in the total: the total is the sum of weight times reward."""


class PooledRewardConfig(RewardConfig):
    """Settings of a reward that reads answers in processes that can be killed (`warmrl.engine.api.GradingPool`)."""

    deadline: Annotated[float, Field(gt=0)] = 2.0
    """Seconds that grading one answer may take; then it is wrong."""
    memory: Annotated[float, Field(ge=0.25)] = 2.0
    """GiB of address space that a grading process may have; an answer that needs more is wrong."""
    workers: Annotated[int, Field(ge=1, json_schema_extra=NOT_SEMANTIC)] = 2
    """Most grading processes at a time; none is started before an answer needs one."""


C = TypeVar("C", bound=RewardConfig)


class Reward(ABC, Generic[C]):
    """Scores the completions of one problem. Must survive any text: a completion is untrusted.

    As the grader of a suite it says more than a number: `grade`. `opens` makes a plugin that the settings choose: a
    teacher as extractor or judge, or another reward, which has this one's style and is this one's to start and close.
    The engine sets it before the first completion is scored. `reads_gold` is False for a reward that doesn't look at
    the gold answer (form, length): then a wrong answer may get all of it.
    """

    low: ClassVar[float] = 0.0
    high: ClassVar[float] = 1.0
    reads_gold: ClassVar[bool] = True
    opens: Callable[[Choice], Any]

    def __init__(self, config: C, style: AnswerStyle) -> None:
        self.config = config
        self.style = style

    @abstractmethod
    def score(self, problem: Problem, completions: Sequence[str]) -> list[float]:
        """One finite number in [`low`, `high`] per completion, in order."""

    def grade(self, problem: Problem, completions: Sequence[str]) -> list[Grade]:
        """Score, answer and verdict of each completion, in order. By default the answer is what the style extracts."""
        found = []
        for text, score in zip(completions, self.score(problem, completions), strict=True):
            extracted = self.style.extract(text)
            canonical = None if extracted is None else self.canonical(extracted)
            verdict: Verdict = "right" if score == 1.0 else "no answer" if extracted is None else "wrong"
            found.append(Grade(score, extracted, canonical, verdict))
        return found

    def canonical(self, answer: str) -> str:
        """The form under which equal answers are the same text (for diversity and majority votes)."""
        return " ".join(answer.split())

    def refuses(self, problem: Problem) -> str:
        """Why it cannot score a problem, a clause; empty when it can. Asked of all before anything is trained."""
        return ""

    def asks_teacher(self, problem: Problem) -> bool:
        """Whether scoring this problem asks a teacher, which may cost money or be elsewhere: `plan` doesn't try it."""
        return any(choice.kind == "teacher" for choice in choices_in(self.config))

    def start(self) -> None:
        """Start worker processes, if any, so that the first answer doesn't wait for them. Need not be called."""

    def rest(self) -> None:
        """All completions of a step are scored: give back what the next ones will not need at once (a device)."""

    def close(self) -> None:
        """Release worker processes, if any."""
