"""warmrl's on-policy distillation on canned samples."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from warmrl_opd.config import OPDConfig
from warmrl_opd.method import OPD

from bench.contenders.packed import UNCLIPPED, Packed, groups_of
from warmrl.api import Group
from warmrl.engine.api import Policy, Stage
from warmrl.plugin.registry import Registry


@dataclass
class PackedOPD(Packed):
    """The teacher scores the student's samples, then the exact reverse KL over the vocabulary."""

    teacher: Any = None

    def __post_init__(self) -> None:
        self.scorer = Policy(deepcopy(self.teacher), self.subject.processor, self.subject.device)
        self.scorer.model.requires_grad_(False)
        super().__post_init__()

    def config(self) -> Any:
        table = {"max_grad_norm": UNCLIPPED, "token_budget": 2 * self.rollouts.row}
        table["teacher"] = {"use": "local", "path": "given"}
        return OPDConfig.model_validate(table, context={"registry": Registry.installed()})

    def of_stage(self, stage: Stage) -> Any:
        stage.load_policy = lambda *_: self.scorer  # type: ignore[method-assign]  # built here, not on disk
        method = OPD(stage.config, stage)
        method.prepare()
        return method

    def groups(self) -> Sequence[Group]:
        self.scorer.prompts.clear()
        groups = groups_of(self.rollouts, advantages=False)
        self.method.teacher.score(groups, "full")
        return groups
