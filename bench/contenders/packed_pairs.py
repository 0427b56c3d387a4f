"""Preference pairs on warmrl's packed core.

warmrl has no method `dpo` yet; what is measured is what one would be made of: the packed forward pass for the
reference, the engine's update, and the head's `SequenceLoss`.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from bench.contenders import MICRO_BATCH
from bench.contenders.packed import UNCLIPPED, Packed
from warmrl.api import Group, Method, MethodConfig
from warmrl.engine.api import Policy, Row, SequenceLoss, Stage, score_tokens

# TRL's default.
BETA = 0.1


class PairMethod(Method[MethodConfig]):
    """L = -mean over pairs of log sigmoid(beta (chosen's log-ratio - rejected's)); a group is (chosen, rejected)."""

    def groups(self, step: int) -> list[Group]:
        """None of its own: the bench's pairs are given."""
        return []

    def loss(self, batch: Row) -> SequenceLoss:
        """The pairs of a row; each is in it whole."""
        reference, weight = batch.columns["reference_logprob"], batch.columns["pair_weight"]
        counts = [count for _, _, count in batch.answers]
        first = torch.tensor([0, *counts[:-1]]).cumsum(0)[::2]

        def fn(logprob: Tensor, _entropy: Tensor) -> Tensor:
            ratios = torch.stack([part.sum() for part in (logprob - reference).split(counts)])
            margins = ratios[0::2] - ratios[1::2]
            return -(weight[first] * logsigmoid(BETA * margins)).sum()

        return SequenceLoss(fn)


@dataclass
class PackedPairs(Packed):
    """The reference's pass and the update, on pairs kept whole: a row holds as many as TRL's micro-batch does."""

    reference: Any = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.frozen = Policy(deepcopy(self.reference), self.subject.processor, self.subject.device)

    def config(self) -> Any:
        return MethodConfig(max_grad_norm=UNCLIPPED, token_budget=MICRO_BATCH * self.rollouts.row)

    def of_stage(self, stage: Stage) -> Any:
        return PairMethod(stage.config, stage)

    def groups(self) -> Sequence[Group]:
        groups = super().groups()
        for one in (one for group in groups for one in group.completions):
            one.signals["pair_weight"] = 1.0 / len(groups)
        self.frozen.prompts.clear()
        score_tokens(self.frozen, groups, self.stage.processes, self.stage.config.token_budget, "reference_logprob")
        return groups
