"""A teacher in this process: scores with hidden states and head, so that every divergence can be exact."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from warmrl.api import Completion, Group, Problem, Teacher
from warmrl.engine.api import Policy, Stage, hidden_states, score_tokens
from warmrl_teachers.config import LocalConfig
from warmrl_teachers.preflight import compare

# Tokens in one scoring pass; bounds memory, changes nothing else.
TOKEN_BUDGET = 16384


class LocalTeacher(Teacher[LocalConfig]):
    """Loads the checkpoint when it is first needed, and gives the memory back on `release`."""

    def __init__(self, config: LocalConfig, stage: Stage) -> None:
        super().__init__(config, stage)
        self._policy: Policy | None = None

    @property
    def policy(self) -> Policy:
        """The teacher's model and processor, frozen."""
        if self._policy is None:
            self._policy = self.engine.load_policy(self.config.path, self.config.model_revision)
        return self._policy

    @property
    def head_weight(self) -> Tensor:
        """`[V', Ht]` the output head."""
        return self.policy.packed.head_weight.detach()

    def preflight(self, student: Policy) -> list[str]:
        """Token maps, padded vocabulary, end of sequence, template and image tokens, compared."""
        return compare(self.policy, student, self.config.path, self.engine.problems[:1])

    def generate(self, problems: Sequence[Problem], samples: int, **sampling: Any) -> list[list[Completion]]:
        """`samples` completions for each problem, with the recipe's sampler and answer style."""
        groups = self.engine.sample_from(self.policy, problems, samples, "teacher", **sampling)
        for group in groups:
            for one in group.completions:
                one.origin = "teacher"
        return [group.completions for group in groups]

    def score(self, groups: Sequence[Group], form: str = "full") -> None:
        """Write `teacher_hidden` (`full`) or `teacher_logprob` (`sampled`) into each completion's signals."""
        if form == "full":
            mine = self.engine.mine(groups)
            hidden_states(self.policy, groups, mine, self.engine.processes, TOKEN_BUDGET, "teacher_hidden")
        else:
            score_tokens(self.policy, groups, self.engine.processes, TOKEN_BUDGET, "teacher_logprob")

    def release(self) -> None:
        """Forget the model."""
        self._policy = None
