"""Weights in shards over the processes (FSDP2): cut up, gathered for a while, or gathered one by one.

Torch's `fully_shard` itself, not accelerate's preparation around it: that gathers layers in low precision, norms too,
and embeddings and head where their modules are called; our head reads its weight without a call.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from transformers.modeling_layers import GradientCheckpointingLayer

from warmrl.domain.errors import UsageError


def shard(root: nn.Module, world: int, device: torch.device) -> nn.Module:
    """Cut a model's weights up, in place: a group for each layer of decoder and vision tower, one for the rest.

    They are gathered as they are kept (float32 what trains; a frozen base under adapters in the recipe's `dtype`) and
    cast where they are used, as in one process; so gradients are summed in float32 too. Raises `UsageError` when torch
    is too old.
    """
    if not hasattr(FSDPModule, "reset_iter_state"):
        raise UsageError(f'`[launch] sharding = "fsdp2"` needs torch 2.13 or newer, and this is {torch.__version__}.')
    mesh = init_device_mesh(device.type, (world,))
    for layer in reversed(list(root.modules())):
        if isinstance(layer, GradientCheckpointingLayer):
            fully_shard(layer, mesh=mesh)
    fully_shard(root, mesh=mesh)
    return root


@contextmanager
def gathered(root: nn.Module) -> Iterator[None]:
    """All weights whole in every process meanwhile, so that each may call any part as often as it likes.

    Entered and left by all processes together. Not for training; nothing to do for weights that are not in shards.
    """
    if not isinstance(root, FSDPModule):
        yield
        return
    groups = [module for module in nn.Module.modules(root) if isinstance(module, FSDPModule)]
    # Otherwise the layer that is called first would take itself for the root.
    fully_shard.state(root)._lazy_init()  # type: ignore[attr-defined]
    root.set_reshard_after_forward(False)
    for group in groups:
        group.unshard()
    try:
        yield
    finally:
        # It also forgets the calls made meanwhile, by which the next backward pass would gather layers in advance:
        # their number differs between processes.
        root.reset_iter_state()
        for group in groups:
            group.set_reshard_after_forward(group is not root, recurse=False)


def reshard(root: object) -> None:
    """Put away what a pass without a backward pass left gathered: the weights outside the layers."""
    if isinstance(root, FSDPModule):
        root.reshard()


def is_sharded(module: object) -> bool:
    """Whether a module's weights are in shards."""
    return isinstance(module, FSDPModule)


def full(value: Tensor) -> Tensor:
    """A tensor whole; from shards, by all processes together."""
    return value.full_tensor() if isinstance(value, DTensor) else value


def here(value: Tensor) -> Tensor:
    """What this process holds of a tensor."""
    return value.to_local() if isinstance(value, DTensor) else value


def laid_out(value: Tensor, place: Tensor) -> Tensor:
    """A tensor that every process has, cut up and placed as another one is; nothing is sent."""
    if not isinstance(place, DTensor) or isinstance(value, DTensor):
        return value
    value = value.to(place.to_local().device)
    return distribute_tensor(value, place.device_mesh, place.placements, src_data_rank=None)


def identity(value: Tensor) -> int:
    """What two names of the same tensor (tied weights) have in common; 0 for an empty one."""
    return id(value) if isinstance(value, DTensor) else value.data_ptr()


def whole(tensors: Mapping[str, Tensor], *, keep: bool) -> dict[str, Tensor]:
    """Tensors out of shards, one at a time, in host memory; tied ones stay one. Processes that don't `keep` get none.

    By all processes together, with the same names.
    """
    found: dict[str, Tensor] = {}
    seen: dict[int, Tensor] = {}
    for name in sorted(tensors):
        value = tensors[name]
        if not isinstance(value, DTensor):
            gathered_value = value.detach()
        elif identity(value) in seen:
            gathered_value = seen[identity(value)]
        else:
            gathered_value = full(value.detach())
            gathered_value = gathered_value.cpu() if keep else gathered_value[:0].clone()
            seen[identity(value)] = gathered_value
        if keep:
            found[name] = gathered_value
    return found
