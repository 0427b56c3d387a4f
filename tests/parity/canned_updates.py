"""Updates on canned groups, one after the other on one prepared model as in a run; several processes can.

`main(POLICY, REFERENCE, FOLDER)` writes `rank-R-of-W.safetensors` into FOLDER: of each subject and
case the loss and every gradient, of each scored token its log-probability, the weights, and the share held here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate.state import AcceleratorState
from parity.subjects import (
    SHAPE,
    SINGLE,
    TEXT_ONLY,
    UNCLIPPED,
    Update,
    canned_groups,
    load_policy,
    stage_for,
    update_of,
    weighed,
)
from safetensors.torch import save_file
from torch import Tensor
from warmrl_grpo.config import GRPOConfig
from warmrl_grpo.method import GRPO

from warmrl.domain.recipe import LaunchTable, ModelTable
from warmrl.domain.stages import LoRATable
from warmrl.engine.checkpoints import find
from warmrl.engine.passes import score_tokens
from warmrl.engine.policy import Policy
from warmrl.engine.processes import Processes
from warmrl.engine.sharding import here
from warmrl.engine.trainable import add_adapters, freeze_but
from warmrl.plugin.registry import Registry

# Groups and token budget of each update: images and text in two rows, in many (an odd number, so that a rank gets a
# dummy), a rank without a row of its own, no image at all, images again.
CASES = {
    "mixed": (SHAPE, 16384),
    "accumulated": (SHAPE, 60),
    "single": (SINGLE, 16384),
    "text": (TEXT_ONLY, 16384),
    "single text": (TEXT_ONLY[1:], 16384),
    "again": (SHAPE, 60),
}


@dataclass(frozen=True)
class Subject:
    """What trains, how it is spread over the processes, and in which precision."""

    sharding: str = "fsdp2"
    dtype: str = "float32"
    train: tuple[str, ...] = ("language", "projector", "vision")
    adapters: bool = False
    recomputed: str = "auto"
    settings: Mapping[str, Any] = field(default_factory=dict)
    cases: tuple[str, ...] = ("mixed", "accumulated", "text")

    def policy(self, folder: Path) -> Policy:
        """The checkpoint with what trains of it; adapters have numbers."""
        table = ModelTable(path=str(folder), dtype=self.dtype)
        policy = Policy.load(find(str(folder), None, Registry.installed()), table, trained=not self.adapters)
        if not self.adapters:
            freeze_but(policy, self.train)
            return policy
        add_adapters(policy, self.train, LoRATable(rank=3, alpha=6), 1, "base")
        draw = torch.Generator().manual_seed(5)
        for name, parameter in policy.model.named_parameters():
            if "lora_B" in name:
                parameter.data = 0.1 * torch.randn(parameter.shape, generator=draw)
        return policy


GSPO = {"loss": "gspo", "clip_low": 0.05, "clip_high": 0.05, "entropy_bonus": 0.01}
SUBJECTS = {
    "ddp": Subject(sharding="none", cases=tuple(CASES)),
    "fsdp2": Subject(cases=tuple(CASES)),
    "gspo": Subject(settings=GSPO, cases=("accumulated",)),
    "adapters": Subject(adapters=True),
    "vision": Subject(train=("vision",), recomputed="on"),
    "bfloat16": Subject(dtype="bfloat16"),
}


def updates(subject: Subject, policy: Path, reference: Path) -> tuple[dict[str, Update], dict[str, Tensor]]:
    """Each case's update on this process, GRPO with old and reference log-probabilities; and these.

    Also the weights that a sampler of its own would get, and the share of them held here.
    """
    AcceleratorState._reset_state()  # there is one, with one precision
    processes = Processes(subject.dtype, LaunchTable(sharding=subject.sharding))
    trained = subject.policy(policy)
    packed = processes.prepare(trained.packed)
    found, more = {}, {}
    for name in subject.cases:
        shape, budget = CASES[name]
        config = GRPOConfig(
            max_grad_norm=UNCLIPPED, token_budget=budget, reference_kl=0.04, gradient_checkpointing=subject.recomputed,
            **subject.settings,
        )  # fmt: skip
        stage = stage_for(trained, config, policy, processes)
        stage.reference = trained.unadapted if subject.adapters else lambda: load_policy(reference)
        method, groups = GRPO(config, stage), canned_groups(trained, shape)
        score_tokens(trained, groups, processes, budget, "old_logprob")
        score_tokens(method.reference, groups, processes, budget, "reference_logprob")
        completions = [one for group in groups for one in group.completions]
        scored = [one.signals[signal] for one in completions for signal in ("old_logprob", "reference_logprob")]
        more[f"{name}/scores"] = torch.cat(scored)
        for one in completions:  # an old policy some way off, the same one for any number of processes
            one.signals["old_logprob"] = one.signals["old_logprob"] + 0.3 * torch.sin(torch.arange(len(one.tokens)))
        found[name] = update_of(stage, method, weighed(groups), packed)
    more["weights"] = torch.cat([value.float().flatten() for _, value in trained.weights()])
    parameters = list(trained.model.parameters())
    more["share"] = torch.tensor(sum(here(p).numel() for p in parameters) / sum(p.numel() for p in parameters))
    processes.accelerator.free_memory()  # before the process group: see `Workshop.close`
    AcceleratorState._reset_state()
    return found, more


def main(policy: str, reference: str, folder: str) -> None:
    """Write what this process found."""
    out: dict[str, Tensor] = {}
    for name, subject in SUBJECTS.items():
        found, more = updates(subject, Path(policy), Path(reference))
        out |= {f"{name}/{one}": value for one, value in more.items()}
        for case, update in found.items():
            out[f"{name}/{case}/loss"] = torch.tensor(update.loss, dtype=torch.float64)
            out |= {f"{name}/{case}/{parameter}": gradient for parameter, gradient in update.gradients.items()}
    processes = Processes(SUBJECTS[name].dtype)
    save_file(out, Path(folder) / f"rank-{processes.rank}-of-{processes.world}.safetensors")
    processes.accelerator.end_training()
