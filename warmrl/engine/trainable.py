"""What of a policy trains: its parts, or low-rank adapters on their matrices; and such a policy made plain again."""

from __future__ import annotations

import warnings
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from warmrl.domain.errors import UsageError
from warmrl.domain.stages import LoRATable
from warmrl.packed.plan import Row
from warmrl.packed.policy import PackedPolicy

if TYPE_CHECKING:
    from warmrl.engine.policy import Policy


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


def plain_state(model: Any) -> dict[str, Tensor]:
    """The weights of the model under a model with adapters, the adapters added in; the model itself is unchanged."""
    from peft.tuners.lora import LoraLayer

    base: Any = model.get_base_model()
    state = {name.replace(".base_layer.", "."): value for name, value in base.state_dict().items()}
    state = {name: value for name, value in state.items() if ".lora_" not in name}
    for name, layer in base.named_modules():
        if isinstance(layer, LoraLayer):
            weight = layer.get_base_layer().weight
            added: Any = layer
            state[f"{name}.weight"] = weight + added.get_delta_weight("default").to(weight.dtype)
    return state


class Unadapted:
    """A packed policy with its adapters off: what its stage started from, with the same weights and cached features."""

    def __init__(self, packed: PackedPolicy) -> None:
        self._packed = packed
        self.share = packed.share

    @property
    def head_weight(self) -> Tensor:
        """`[V, H]` the output head."""
        return self._packed.head_weight

    def __call__(self, row: Row, *rest: Any, **more: Any) -> Any:
        """See `PackedPolicy.forward`."""
        with self._packed.model.disable_adapter():
            return self._packed(row, *rest, **more)

    def hidden(self, row: Row) -> Tensor:
        """See `PackedPolicy.hidden`."""
        with self._packed.model.disable_adapter():
            return self._packed.hidden(row)
