"""On-policy self-distillation: one problem in two views, the teacher's with the solution in it.

    L = sum_t w_t D(pi(.|x, y_<t), nu(.|x, s, y_<t))        y sampled by the student, who sees x alone

with nu the same model at its start, as a moving average or as it is. Sources: OPSD, arXiv:2601.18734 (JSD, start);
SDFT, arXiv:2601.19897 (forward KL, moving average); methods D. A completion belongs to a group with the student's view
and to one with the teacher's: what is scored in the one is a signal in the other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from torch import Tensor

from warmrl.api import DataError, Group, Message, Problem, Text
from warmrl.engine.api import Policy, Stage, asked, hidden_states, score_tokens
from warmrl_opd.average import Average
from warmrl_opd.config import OPSDConfig
from warmrl_opd.method import Distillation


class OPSD(Distillation[OPSDConfig]):
    """Moves the student towards what it would say if it knew the solution."""

    def __init__(self, config: OPSDConfig, stage: Stage) -> None:
        super().__init__(config, stage)
        unsolved = [problem.id for problem in stage.problems if problem.solution is None]
        if unsolved and "{solution}" in config.hint:
            raise DataError(
                f"`stage.{stage.name}` shows its teacher each problem's worked answer, and {len(unsolved)} problems "
                f"have none (first: `{unsolved[0]}`); give the data a `solution` column, make one with the curator "
                "`traces`, or show the right answer alone: a `hint` with `{answer}`."
            )
        self.average: Average | None = None

    def prepare(self) -> None:
        """Open the start, or begin the average there."""
        if self.config.teacher == "start":
            self.start = self.stage.reference()
        if self.config.teacher == "ema" and self.average is None:
            self.average = Average(self.stage.policy, self.config.ema_decay)

    def groups(self, step: int) -> list[Group]:
        """The student's completions, with what the teacher says of each token behind its own view."""
        groups, config, stage = self.rollouts(step), self.config, self.stage
        shown = [replace(group, views=(self.view(group.problem),)) for group in groups]
        with self.teacher() as teacher:
            if config.form == "sampled":
                score_tokens(teacher, shown, stage.processes, config.token_budget, "teacher_logprob")
                return groups
            mine = stage.mine(groups)  # as the student's views will be trained on
            hidden_states(teacher, shown, mine, stage.processes, config.token_budget, "teacher_hidden")
            with teacher.gathered():
                self.head = teacher.packed.head_weight.detach().clone()  # the student's own will move on
        return groups

    def teacher_head(self) -> Tensor:
        """As it was when the step's completions were scored."""
        return self.head

    @contextmanager
    def teacher(self) -> Iterator[Policy]:
        """The policy that teaches."""
        if self.config.teacher == "start":
            yield self.start.teaching()
        elif self.average is None:
            yield self.stage.policy.teaching()
        else:
            with self.average.in_place():
                yield self.stage.policy.teaching()

    def view(self, problem: Problem) -> tuple[Message, ...]:
        """What the teacher reads: the question, the hint, the answer style's instruction."""
        *before, last = problem.messages
        hinted = Message(last.role, (*last.parts, Text(told(self.config.hint, problem))))
        return asked(replace(problem, messages=(*before, hinted)), self.stage.style)

    def after_step(self, step: int) -> bool:
        """The average follows the student."""
        if self.average is not None:
            self.average.follow()
        return False

    def state(self) -> Mapping[str, Any]:
        """The average."""
        return {} if self.average is None else self.average.state()

    def load(self, state: Mapping[str, Any]) -> None:
        """Take the average back."""
        if self.config.teacher == "ema":
            self.average = Average(self.stage.policy, self.config.ema_decay, state)


def told(hint: str, problem: Problem) -> str:
    """A hint with the problem's solution and answer in it."""
    known = {"{solution}": problem.solution or "", "{answer}": problem.gold}
    return re.sub(r"\{(?:solution|answer)\}", lambda found: known[found.group()], hint)
