"""A model's weights and its optimizer's moments by name, as checkpoints hold them: whole, and tied ones once."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from warmrl.engine.sharding import identity, laid_out, whole

# Between a parameter's name and the name of one of its moments in `optimizer.safetensors`.
OF = "::"


def changing(model: nn.Module) -> dict[str, Tensor]:
    """What training may change: a model's buffers and all its parameters but the frozen ones."""
    return {
        name: value
        for name, value in model.state_dict(keep_vars=True).items()
        if value.requires_grad or not isinstance(value, nn.Parameter)
    }


def distinct(tensors: Mapping[str, Tensor], *, keep: bool = True) -> dict[str, Tensor]:
    """Tensors that share no memory (tied weights appear once), as safetensors wants them; whole, and on the CPU.

    By all processes together; those that don't `keep` get none.
    """
    once: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name in sorted(tensors):
        if tensors[name].numel() and identity(tensors[name]) in seen:
            continue
        seen.add(identity(tensors[name]))
        once[name] = tensors[name]
    return {name: value.cpu().contiguous() for name, value in whole(once, keep=keep).items()}


def restored(model: nn.Module, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Put tied weights back under every name that the model gives them, laid out as the model's own."""
    own = changing(model)
    by_place = {identity(own[name]): value for name, value in tensors.items() if name in own}
    return {name: laid_out(by_place[identity(place)], place) for name, place in own.items()}


def put_back(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Give a model the weights that `changing` gave, whole or in shards."""
    model.load_state_dict(restored(model, tensors), strict=False)


def moments(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's state by the name of each parameter; parameters that were never updated have none."""
    names: dict[int, str] = {}
    for name, parameter in model.state_dict(keep_vars=True).items():
        names.setdefault(id(parameter), name)
    return {
        f"{names[id(parameter)]}{OF}{key}": value
        for parameter, state in optimizer.state.items()
        for key, value in state.items()
    }


def load_moments(model: nn.Module, optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put the optimizer's state back; its hyperparameters come from the recipe and the schedule."""
    parameters = model.state_dict(keep_vars=True)
    for name, value in tensors.items():
        of, _, key = name.rpartition(OF)
        place = parameters[of]
        optimizer.state[place][key] = value if key == "step" else laid_out(value.to(place.device), place)
