"""A model with low-rank adapters made plain again, and seen without them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from warmrl.engine.sharding import reshard
from warmrl.packed.plan import Row
from warmrl.packed.policy import PackedPolicy


@torch.no_grad()
def plain_state(model: Any) -> dict[str, Tensor]:
    """The weights of the model under a model with adapters, the adapters added in; the model itself is unchanged."""
    from peft.tuners.lora import LoraLayer

    base: Any = model.get_base_model()
    state = {name.replace(".base_layer.", "."): value for name, value in base.state_dict(keep_vars=True).items()}
    state = {name: value for name, value in state.items() if ".lora_" not in name}
    for name, layer in base.named_modules():
        if isinstance(layer, LoraLayer):
            weight = layer.get_base_layer().weight
            added: Any = layer
            merged = weight + added.get_delta_weight("default").to(weight.dtype)
            # A second copy of all matrices may not fit beside the first; one of this process's shards does.
            state[f"{name}.weight"] = merged if isinstance(merged, DTensor) else merged.cpu()
    return state


def merged(model: Any, folder: str) -> Any:
    """A model with a folder's adapters added into its weights. Raises ValueError for adapters of another model."""
    from peft import PeftModel

    try:
        return PeftModel.from_pretrained(model, folder, use_safetensors=True).merge_and_unload()
    except RuntimeError as error:
        raise ValueError(f"the adapters in {folder} are of another model ({str(error).splitlines()[0]})") from error


class Unadapted:
    """A packed policy with its adapters off: what its stage started from, with the same weights and cached features."""

    def __init__(self, packed: PackedPolicy) -> None:
        self.adapted = packed
        self.share = packed.share

    @property
    def head_weight(self) -> Tensor:
        """`[V, H]` the output head."""
        return self.adapted.head_weight

    def __call__(self, row: Row, *rest: Any, **more: Any) -> Any:
        """See `PackedPolicy.forward`."""
        with self._off():
            return self.adapted(row, *rest, **more)

    def hidden(self, row: Row) -> Tensor:
        """See `PackedPolicy.hidden`."""
        with self._off():
            return self.adapted.hidden(row)

    @contextmanager
    def _off(self) -> Iterator[None]:
        """Adapters off. Meanwhile peft lets no gradient reach the weights that it finds, shards or gathered ones; it
        must find the same ones when it puts the adapters back on.
        """
        in_shards = isinstance(self.head_weight, DTensor)
        with self.adapted.model.disable_adapter():
            yield
            if in_shards:
                reshard(self.adapted)
