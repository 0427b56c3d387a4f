"""warmrl itself, through the engine's own update; and the stand-in for padding-free peers."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from warmrl_grpo.config import GRPOConfig
from warmrl_grpo.method import GRPO
from warmrl_sft.config import SFTConfig
from warmrl_sft.method import SFT

from bench.contenders import MICRO_BATCH, PACKED, PADDING_FREE
from bench.shapes import Subject
from bench.workloads import Canned, words_of
from warmrl.domain.group import Completion, Group
from warmrl.engine.advantage import group_advantages
from warmrl.engine.policy import Policy
from warmrl.engine.processes import Processes
from warmrl.engine.stage import Stage
from warmrl.engine.training import one_update, weigh
from warmrl.plugin.registry import Registry

# Clipping that never clips: gradients are compared as they are.
UNCLIPPED = 1e9


def stage_for(policy: Policy, config: Any, dtype: str) -> Stage:
    """A real stage around a policy, without what only sampling and rewards need."""
    unused: Any = None
    folder = Path(tempfile.mkdtemp(prefix="warmrl-bench-"))
    return Stage(
        "bench", config, 0, policy, [], unused, unused, unused, unused, unused, Processes(dtype), Registry.installed(),
        folder,
    )  # fmt: skip


def groups_of(rollouts: Canned, *, advantages: bool = True) -> list[Group]:
    """The rollouts as groups, with their advantages."""
    groups = []
    for problem, answers, rewards in zip(rollouts.problems, rollouts.answers, rollouts.rewards, strict=True):
        completions = [Completion(tokens, "", reward=r) for tokens, r in zip(answers, rewards, strict=True)]
        if advantages:
            for one, advantage in zip(completions, group_advantages(rewards), strict=True):
                one.signals["advantage"] = advantage
        groups.append(Group(problem, completions))
    return groups


@dataclass
class Packed:
    """An update of a method of warmrl on canned rollouts.

    `share=False` is the stand-in for padding-free peers: one unpadded row for each completion, its prompt and image
    computed again every time, with warmrl's own head and loop.
    """

    subject: Subject
    rollouts: Canned
    share: bool = True
    checkpointing: bool = False

    def __post_init__(self) -> None:
        self.name = PACKED if self.share else PADDING_FREE
        self.model = deepcopy(self.subject.model)
        self.policy = self.make_policy()
        self.policy.packed.share = self.share
        self.stage = stage_for(self.policy, self.config(), self.subject.dtype)
        self.method = self.of_stage(self.stage)
        self.still = torch.optim.SGD([p for p in self.model.parameters() if p.requires_grad], lr=0.0)
        budget = f"rows of up to {self.stage.config.token_budget} tokens"
        alone = "a completion a row, each with its prompt and image; not a peer's code"
        self.about = f"{budget if self.share else alone}, no gradient checkpointing"

    def make_policy(self) -> Policy:
        """The model as the engine holds it."""
        return Policy(self.model, self.subject.processor, self.subject.device)

    def config(self) -> Any:
        """The method's settings: its defaults, with rows that hold a group (as TRL's micro-batch holds 8 samples)."""
        return GRPOConfig(max_grad_norm=UNCLIPPED, token_budget=self.rollouts.row)

    def of_stage(self, stage: Stage) -> Any:
        """The method."""
        return GRPO(stage.config, stage)

    def groups(self) -> Sequence[Group]:
        """What the method would train on after sampling."""
        return groups_of(self.rollouts)

    def update(self) -> float:
        """From rollouts to gradients; prompts are encoded anew, as TRL does at every step."""
        self.policy.prompts.clear()
        groups = self.groups()
        weigh(groups, self.stage.config.normalise, self.stage.config.max_tokens)
        return one_update(self.stage, self.method, self.policy.packed, self.still, groups, 0)["loss"]

    @property
    def decoder(self) -> Any:
        """Where tokens are counted."""
        return self.policy.packed.language_model


class PackedSFT(Packed):
    """Supervised fine-tuning on the completions as worked answers."""

    def config(self) -> Any:
        return SFTConfig(max_grad_norm=UNCLIPPED, token_budget=MICRO_BATCH * self.rollouts.row)

    def of_stage(self, stage: Stage) -> Any:
        return SFT(stage.config, stage)

    def groups(self) -> Sequence[Group]:
        groups = []
        for problem, ((*words, _end),) in zip(self.rollouts.problems, self.rollouts.answers, strict=True):
            text = words_of(words)
            one = Completion(self.policy.encode_answer(text), text, origin="dataset", finish="given")
            groups.append(Group(problem, [one]))
        return groups
