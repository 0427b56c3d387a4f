"""A teacher in this process: scores with hidden states and head, so that every divergence can be exact."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from warmrl.api import Completion, Group, Problem, Teacher, UsageError
from warmrl.engine.api import Policy, Stage, hidden_states, layers_by_place, product, score_tokens
from warmrl_teachers.config import LocalConfig
from warmrl_teachers.preflight import compare

# Tokens in one scoring pass; bounds memory, changes nothing else.
TOKEN_BUDGET = 16384
# Tokens whose logits exist at once when the most probable ones are looked for.
CHUNK = 256


class LocalTeacher(Teacher[LocalConfig]):
    """Loads the checkpoint when it is first needed, and gives the memory back on `release`."""

    def __init__(self, config: LocalConfig, stage: Stage) -> None:
        super().__init__(config, stage)
        self._policy: Policy | None = None

    @property
    def policy(self) -> Policy:
        """The teacher's model and processor, frozen."""
        if self._policy is None:
            spread = self.config.spread
            memory = None if spread is None else spread.model_dump(exclude_none=True)
            self._policy = self.engine.load_policy(self.config.path, self.config.model_revision, memory)
        return self._policy

    @property
    def head_weight(self) -> Tensor:
        """`[V', Ht]` the output head."""
        return self.policy.packed.head_weight.detach()

    def preflight(self, student: Policy) -> list[str]:
        """Token maps, padded vocabulary, end of sequence, template and image tokens, compared."""
        found = compare(self.policy, student, self.config.path, self.engine.problems[:1])
        if self.config.spread is not None:
            found.append(f"Teacher `{self.config.path}`, its layers: {layers_by_place(self.policy.model)}.")
        return found

    def generate(self, problems: Sequence[Problem], samples: int, **sampling: Any) -> list[list[Completion]]:
        """`samples` completions for each problem, with the recipe's sampler and answer style."""
        groups = self.engine.sample_from(self.policy, problems, samples, "teacher", **sampling)
        for group in groups:
            for one in group.completions:
                one.origin = "teacher"
        return [group.completions for group in groups]

    def score(self, groups: Sequence[Group], form: str = "full", top_k: int = 0) -> None:
        """Write `teacher_hidden`, `teacher_top_ids` and `teacher_top_logprobs`, or `teacher_logprob`, by `form`."""
        if form == "sampled":
            score_tokens(self.policy, groups, self.engine.processes, TOKEN_BUDGET, "teacher_logprob")
            return
        mine = self.engine.mine(groups)
        hidden_states(self.policy, groups, mine, self.engine.processes, TOKEN_BUDGET, "teacher_hidden")
        if form == "top-k":
            head = self.head_weight[: len(self.engine.policy.packed.head_weight)]
            for group in groups:
                for completion in group.completions:
                    hidden = completion.signals.pop("teacher_hidden")
                    found = top_tokens(hidden, head, top_k)
                    completion.signals["teacher_top_logprobs"], completion.signals["teacher_top_ids"] = found

    def release(self) -> None:
        """Forget the model."""
        self._policy = None


@torch.no_grad()
def top_tokens(hidden: Tensor, head: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Log-probabilities `[C, k]` and ids `[C, k]` of the k most probable tokens, from hidden states `[C, H]`.

    NaN (another process's share) stays NaN, without a pass through the head.
    """
    if count > len(head):
        raise UsageError(f"`top_k` is {count}, and the vocabulary that both share has {len(head)} tokens; lower it.")
    if not len(hidden) or bool(hidden[0].isnan().any()):
        return hidden.new_full((len(hidden), count), torch.nan), hidden.new_full((len(hidden), count), -1).long()
    chunks = (product(part.to(head.dtype), head.t()).log_softmax(1) for part in hidden.split(CHUNK))
    tops = [logs.topk(count) for logs in chunks]
    return torch.cat([top.values for top in tops]), torch.cat([top.indices for top in tops])
