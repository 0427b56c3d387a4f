"""Takes results out of the store: one policy as a plain folder with a model card, or a whole run that stands alone."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from warmrl.domain.errors import UsageError
from warmrl.domain.names import CheckpointName
from warmrl.engine.checkpoints import Source, find, folder_source
from warmrl.engine.run_folder import RESOLVED
from warmrl.engine.run_place import RUN_FILE, known_run
from warmrl.engine.storage import MANIFEST, damage, require_space, sealed_folder, write_json, write_text
from warmrl.plugin.registry import Registry
from warmrl.report.card import card

ADAPTER = "adapter"
CARD = "README.md"


@dataclass(frozen=True)
class Exported:
    """What was written: `model`, `adapter`, `run` or `data`, and where."""

    kind: str
    folder: Path
    base: str | None = None


def export_policy(target: str, to: Path, *, merge: bool, dtype: str | None) -> Exported:
    """Write the policy `RUN#stage[@step]` into `to`, an empty or new folder. Raises `UsageError`.

    A stage with adapters gives the adapters in peft's format, or with `merge` the plain model that has them added in;
    any other stage gives its plain model. The files are those that the run made, byte for byte, unless `dtype` asks
    for another precision.
    """
    refuse_full(to)
    registry = Registry.installed()
    policy = Path(find(target, None, registry).path)
    reason = damage(policy)
    if reason is not None:
        raise UsageError(f"`{target}`: its policy {policy} is not whole ({reason}); run the recipe again.")
    adapter = policy / ADAPTER
    only_adapter = adapter.is_dir() and not merge
    if only_adapter and dtype:
        raise UsageError(f"`{target}` has adapters, which are small; `--dtype` goes with `--merge`.")
    about = facts(target, policy, ADAPTER if only_adapter else "model")
    require_space(to, size_of(adapter if only_adapter else policy))
    with sealed_folder(to) as folder:
        if only_adapter:
            shutil.copytree(adapter, folder, dirs_exist_ok=True)
            name_base(folder / "adapter_config.json", about["starts_from"])
        elif dtype:
            cast(folder_source(policy), dtype, folder)
        else:
            shutil.copytree(policy, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(ADAPTER, MANIFEST, CARD))
        write_text(folder / CARD, card(about | {"dtype": dtype}))
    return Exported(about["kind"], to, about["base"])


def refuse_full(to: Path) -> None:
    """Refuse to write over anything. Raises `UsageError`."""
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise UsageError(f"{to} is there and not an empty folder; nothing was touched. Choose another with `--to`.")


def cast(source: Source, dtype: str, folder: Path) -> None:
    """The model in another precision, with its processor."""
    from warmrl.domain.recipe import ModelTable
    from warmrl.engine.policy import Policy

    table = ModelTable.model_validate({"path": source.path, "dtype": dtype})
    Policy.load(source, table, trained=False).save(folder)


def name_base(file: Path, base: str) -> None:
    """Say in an adapter's settings which model it goes on."""
    settings = json.loads(file.read_text())
    write_json(file, settings | {"base_model_name_or_path": base})


def facts(target: str, policy: Path, kind: str) -> dict[str, Any]:
    """What a model card says of a policy: where it comes from, its figures, its recipe."""
    name = CheckpointName.parse(target)
    run = Path(name.run or "")
    recipe = json.loads((run / RESOLVED).read_text())
    report = run / "report.json"
    verbatim = next((file for file in (run / "recipe.toml", run / "recipe.json") if file.exists()), None)
    return {
        "kind": kind,
        "checkpoint": str(replace(name, run=None)),
        "stage": name.stage,
        "recipe": recipe,
        "verbatim": verbatim.read_text() if verbatim else None,
        "line": lineage(recipe, name.stage),
        "base": recipe["model"]["path"],
        "starts_from": starts_from(run, recipe, name.stage),
        "vision": "vision_config" in json.loads((policy / "config.json").read_text()),
        "report": json.loads(report.read_text()) if report.exists() else None,
        "environment": json.loads((run / "environment.json").read_text()),
    }


def lineage(recipe: dict[str, Any], stage: str) -> list[dict[str, Any]]:
    """The stages that lead to one, from the base on: their names and tables."""
    line: list[dict[str, Any]] = []
    while stage in recipe["stage"]:
        table = recipe["stage"][stage]
        line.insert(0, {"name": stage, **table})
        start = CheckpointName.parse(table["policy"])
        stage = "" if start.run else start.stage
    return line


def starts_from(run: Path, recipe: dict[str, Any], stage: str) -> str:
    """What a stage's adapters go on: the recipe's model, or the policy that the stage before it handed on."""
    start = CheckpointName.parse(recipe["stage"][stage]["policy"])
    if start.run is not None:
        return str(start)
    return recipe["model"]["path"] if start.stage == "base" else f"{run}#{start}"


def export_run(run: Path, to: Path) -> Exported:
    """Copy a run and every store entry it refers to into `to`, laid out as a home: `WARMRL_HOME=to` knows the run.

    Raises `UsageError`. The recipe's model and datasets are not copied.
    """
    known = known_run(run)
    if not known:
        raise UsageError(f"{run} holds no warmrl run; give a run folder, or `RUN#stage` for one policy.")
    refuse_full(to)
    linked = {link.resolve().parent for link in run.glob("evaluations/*/samples.jsonl")}
    named = [one["store"] for one in known["stages"].values()] + known["entries"]
    entries = sorted({(run / one).resolve() for one in named if (run / one).is_dir()} | linked)
    require_space(to, sum(map(size_of, [run, *entries])))
    with sealed_folder(to) as folder:
        copy = folder / known["name"]
        for entry in entries:
            shutil.copytree(entry, folder / "store" / entry.name)
        shutil.copytree(run, copy, symlinks=True)
        for link in [one for one in copy.rglob("*") if one.is_symlink()]:
            there = (run / link.relative_to(copy)).resolve()
            place = next((entry for entry in entries if there.is_relative_to(entry)), None)
            if place is not None:
                link.unlink()
                link.symlink_to(os.path.relpath(folder / "store" / there.relative_to(place.parent), link.parent))
        for one in known["stages"].values():
            one["store"] = f"../store/{Path(one['store']).name}"
        known["entries"] = [f"../store/{Path(one).name}" for one in known["entries"]]
        write_json(copy / RUN_FILE, known)
    return Exported("run", to)


def size_of(folder: Path) -> int:
    """Bytes of a folder's own files."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file() and not file.is_symlink())
