"""The teacher kind: a model that generates text, or scores a student's tokens, or both."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Generic, Literal, TypeVar

from warmrl.domain.config import Config
from warmrl.domain.group import Completion, Group
from warmrl.domain.problem import Problem

Scores = Literal["full", "top-k", "sampled"]
Gives = Literal["generates", "full", "top-k", "sampled", "rates"]


class TeacherConfig(Config):
    """Settings of any teacher, and what it can do (known without loading it, so `recipe check` can refuse)."""

    def gives(self) -> tuple[Gives, ...]:
        """What a teacher with these settings can do.

        `generates`: `generate` works. The rest is what `score` can give: `full` (hidden states of the last layer and
        the output head, so that any divergence over the whole vocabulary is exact; it contains the two below),
        `top-k` (the top-k log-probabilities and so the mass of the rest; contains `sampled`) or `sampled` (the
        log-probability of each sampled token). `rates`: `rate` says how good an answer is (a reward model).
        """
        return ()

    def checkpoint(self) -> tuple[str, str | None] | None:
        """Model path and revision of a checkpoint that this teacher loads here; None: none (a server has it)."""
        return None

    def makes_do(self) -> bool:
        """Whether that checkpoint needs no room of its own: what finds none stays off the device."""
        return False


C = TypeVar("C", bound=TeacherConfig)


class Teacher(ABC, Generic[C]):
    """A model that generates text, or scores a student's tokens. Its config says what it can do.

    What runs through the stage's own passes and sampler is counted there; a teacher whose model is elsewhere (a server)
    tells the tokens that it wrote or judged to `engine.work.by_server`.

    `keeps` is True where what it gave once is read from the disk when it is asked again.
    """

    keeps: bool = False

    def __init__(self, config: C, engine: Any) -> None:
        self.config = config
        self.engine = engine

    def preflight(self, student: Any) -> list[str]:
        """Findings about using this teacher for `student` (an engine `Policy`), a sentence each.

        Raises `UsageError` when it cannot be used at all (its tokens differ from the student's).
        """
        return []

    def generate(self, problems: Sequence[Problem], samples: int, **sampling: Any) -> list[list[Completion]]:
        """`samples` completions for each problem."""
        raise NotImplementedError

    def attempt(self, problems: Sequence[Problem], **sampling: Any) -> list[Completion | str]:
        """One completion for each problem, or in a few words why there is none, for who can do without some.

        Raises `ServiceError` when it is no single problem's fault (a dead server). Unless overridden, all must succeed.
        """
        return [one for (one,) in self.generate(problems, 1, **sampling)]

    def spent(self) -> list[str]:
        """Findings about what its answers cost, a sentence each."""
        return []

    def score(self, groups: Sequence[Group], form: Scores = "full", top_k: int = 0) -> None:
        """Write what the teacher says of each completion's tokens into its `signals`.

        `full`: `teacher_hidden` `[C, H]`, to be read with `head_weight`. `top-k`: `teacher_top_ids` `[C, top_k]`
        (int64, -1 where it tells of fewer) and `teacher_top_logprobs` `[C, top_k]`, at temperature 1. `sampled`:
        `teacher_logprob` `[C]`. Call it with all groups of a step that will be trained on: a process may score `full`
        and `top-k` for its own share of them alone.
        """
        raise NotImplementedError

    def rate(self, problem: Problem, answers: Sequence[str]) -> list[float]:
        """How good each answer to a problem is, a finite number on the teacher's own scale; more is better."""
        raise NotImplementedError

    def rest(self) -> None:
        """A step's ratings are done: what leaves the device between two of them does so now."""

    @abstractmethod
    def release(self) -> None:
        """Give memory back; called when the phase that used the teacher is over."""
