"""Preference pairs on warmrl's packed core: the reference's pass, and the engine's update of the method `dpo`."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from warmrl_dpo.config import DPOConfig
from warmrl_dpo.method import DPO

from bench.contenders import MICRO_BATCH
from bench.contenders.packed import UNCLIPPED, Packed
from warmrl.api import Group
from warmrl.engine.api import Policy, Stage

# TRL's default.
BETA = 0.1


@dataclass
class PackedPairs(Packed):
    """Pairs kept whole: a row holds as many as TRL's micro-batch does. TRL's default loss is the preference alone."""

    reference: Any = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.frozen = Policy(deepcopy(self.reference), self.subject.processor, self.subject.device)

    def config(self) -> Any:
        budget = MICRO_BATCH * self.rollouts.row
        return DPOConfig(max_grad_norm=UNCLIPPED, token_budget=budget, beta=BETA, nll_weight=0)

    def of_stage(self, stage: Stage) -> Any:
        return DPO(stage.config, stage)

    def groups(self) -> Sequence[Group]:
        groups = super().groups()
        self.frozen.prompts.clear()
        for group, two in zip(groups, self.method.summed(self.frozen, groups), strict=True):
            for one, logprob in zip(group.completions, two, strict=True):
                one.signals["reference_logprob"] = logprob.expand(len(one.tokens))
        self.method.before_update(groups)
        return groups
