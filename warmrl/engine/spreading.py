"""A frozen model larger than its device: decoder layers in host memory or on the disk, computed on the device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import torch
from accelerate import infer_auto_device_map, init_empty_weights
from accelerate.utils import compute_module_sizes, convert_file_size_to_int

from warmrl.domain.errors import UsageError
from warmrl.engine.launch import local_processes
from warmrl.packed.support import family_of

# Share of the memory that is free now which is taken where a recipe sets no limit: a step needs some too.
SHARE = 0.8


@dataclass(frozen=True)
class Spread:
    """Most memory (`70GiB`) of the `device` and of the host (`cpu`) for the weights; none: a share of what is free.

    `folder` is where what must be rewritten to be read from the disk goes; most checkpoints are read where they are.
    """

    memory: Mapping[str, str]
    folder: Path


def placed(family: Any, config: Any, dtype: torch.dtype, spread: Spread, device: torch.device) -> dict[str, Any]:
    """Options of `from_pretrained` that place each decoder layer by accelerate's device map.

    Everything else (embeddings, vision tower, projector, norms, output head) stays on the device, because the packed
    forward reads it from outside the modules. A layer that is elsewhere is brought to the device while it computes.

    Raises `UsageError` where not even that much fits.
    """
    with init_empty_weights():
        model = family.from_config(config, dtype=dtype)
    where = f"{family_of(model).language_model}.layers"
    layers = model.get_submodule(where)
    home: Any = "cpu" if device.type == "cpu" else device.index or 0
    room = limits(spread.memory, device)
    resident = compute_module_sizes(model, dtype=dtype)[""] - compute_module_sizes(layers, dtype=dtype)[""]
    if resident > room[home]:
        raise UsageError(
            f"The teacher's embeddings, vision tower and output head take {resident / 2**30:.3g} GiB, and "
            f"`spread` leaves {room[home] / 2**30:.3g} GiB of the device for it; raise `spread.{name_of(home)}`."
        )
    room[home] -= resident
    kinds = sorted({type(layer).__name__ for layer in layers})
    places = infer_auto_device_map(layers, room, no_split_module_classes=kinds, dtype=dtype, clean_result=False)
    within = {f"{where}.{name}": place for name, place in places.items()}
    return {"device_map": {**outside(model, where, home), **within}, "offload_folder": str(spread.folder)}


def outside(model: Any, where: str, home: Any) -> dict[str, Any]:
    """The largest modules and the parameters that hold none of the layers at the path `where`, all at `home`."""
    found: dict[str, Any] = {}
    path = where.split(".")
    for depth in range(len(path)):
        holder = model.get_submodule(".".join(path[:depth]))
        held = [*holder.named_children(), *holder.named_parameters(recurse=False), *holder.named_buffers(recurse=False)]
        found |= {".".join([*path[:depth], name]): home for name, _ in held if name != path[depth]}
    return found


def limits(memory: Mapping[str, str], device: torch.device) -> dict[Any, int]:
    """Bytes for weights on the device and in host memory; on a CPU they are the same."""
    free: dict[Any, int] = {"cpu": psutil.virtual_memory().available // local_processes()}
    if device.type != "cpu":
        free = {device.index or 0: torch.cuda.mem_get_info(device)[0], **free}
    given = {place: memory.get(name_of(place)) for place in free}
    return {
        place: convert_file_size_to_int(limit) if (limit := given[place]) else int(SHARE * size)
        for place, size in free.items()
    }


def name_of(place: Any) -> str:
    """A place by its key in a recipe."""
    return "cpu" if place == "cpu" else "device"


def layers_by_place(model: Any) -> str:
    """Where a spread model's layers are, in words."""
    places = getattr(model, "hf_device_map", {})  # none, or of one place: all has found room on the device
    if len(set(places.values())) < 2:
        return "all on the device"
    places = [str(place) for name, place in places.items() if name.rpartition(".")[2].isdigit()]
    names = {"cpu": "in host memory", "disk": "on the disk"}
    return ", ".join(f"{places.count(one)} {names.get(one, 'on the device')}" for one in dict.fromkeys(places))
