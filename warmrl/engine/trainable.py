"""What of a policy trains: its parts, or low-rank adapters on their matrices."""

from __future__ import annotations

import warnings
from collections.abc import Collection

import torch
from torch import nn

from warmrl.domain.errors import UsageError
from warmrl.domain.stages import LoRATable
from warmrl.engine.policy import Policy
from warmrl.packed.policy import PackedPolicy


def freeze_but(policy: Policy, parts: Collection[str]) -> None:
    """Let only these parts train: `language`, `projector`, `vision`. Raises `UsageError` for one it hasn't got."""
    held = policy.packed.parts()
    missing = [part for part in parts if not held[part]]
    if missing == list(parts):
        kind = type(policy.packed.base).__name__
        raise UsageError(f"`train` names {', '.join(missing)}, and a `{kind}` has no such part; name another.")
    for part, modules in held.items():
        for module in modules:
            module.requires_grad_(part in parts)


def add_adapters(policy: Policy, parts: Collection[str], lora: LoRATable, seed: int, start: str) -> None:
    """Put low-rank adapters (Hu et al. 2021, arXiv:2106.09685) on the parts' matrices; nothing else trains.

    B starts at zero, so the policy is what it was; A is drawn from `seed`. Without dropout, which sharing a prompt
    rules out. Raises `UsageError` when no matrix has one of the target names.
    """
    from peft import LoraConfig, get_peft_model

    names = targets(policy.packed, parts, lora.targets)
    if not names:
        wanted, kind = ", ".join(lora.targets or parts), type(policy.packed.base).__name__
        raise UsageError(f"`lora.targets`: no matrix of a `{kind}` is called {wanted}; name others, or none for all.")
    config = LoraConfig(r=lora.rank, lora_alpha=lora.alpha, target_modules=names)
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft 0.21 asks transformers by a name that has a new one
        torch.manual_seed(seed)
        model = get_peft_model(policy.model, config)
    config.base_model_name_or_path = start  # peft's choice is the folder, which differs between machines
    policy.use(model)


def targets(packed: PackedPolicy, parts: Collection[str], wanted: Collection[str]) -> list[str]:
    """Full names of the linear layers of the parts, all or those whose last name is wanted; never the output head."""
    inside = {id(layer) for part in parts for module in packed.parts()[part] for layer in module.modules()}
    head = packed.base.get_output_embeddings()
    return [
        name
        for name, layer in packed.base.named_modules()
        if isinstance(layer, nn.Linear)
        and id(layer) in inside
        and layer is not head
        and (not wanted or name.rpartition(".")[2] in wanted)
    ]
