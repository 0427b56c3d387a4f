"""The probe: one set of problems and one estimator at every point of a run. No torch."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from warmrl.domain.recipe import ProbeTable
from warmrl.domain.stages import MethodConfig
from warmrl.engine.samples import DESCRIPTION, Draws

if TYPE_CHECKING:
    from warmrl.engine.entries import Entries

PROBES = "probes"


def table_of(entries: Entries) -> ProbeTable:
    """The probe of a recipe that has one."""
    table = entries.file.recipe.probe
    assert table is not None
    return table


def steps_along(entries: Entries, stage: str, total: int = 0) -> list[int]:
    """The steps before its end at which a stage is probed.

    They divide the steps that the stage was to have: those of one that stopped early are where they would have been.
    Where its steps follow from its epochs they are `total`, or what its record says; without either there are none.
    """
    probe, config = entries.file.recipe.probe, entries.file.recipe.stage[stage].config
    if probe is None or not isinstance(config, MethodConfig):
        return []
    record = finished(entries, stage)
    planned = config.steps or total or record.get("planned") or record.get("steps", 0)
    return [step for step in probe.steps(planned)[:-1] if step < record.get("steps", planned)]


def finished(entries: Entries, stage: str) -> Mapping[str, Any]:
    """The record of a stage that is done; nothing of another."""
    file = entries.stage_folder(stage) / "done.json" if entries.can_tell() else None
    return json.loads(file.read_text()) if file is not None and file.exists() else {}


def probe_points(entries: Entries, steps: Mapping[str, int]) -> list[str]:
    """The checkpoints that are probed, in order; none without `[probe]`.

    A stage's last is what it hands on, by the stage's name. Where a hand-off rule chooses that, its end comes before.
    """
    if entries.file.recipe.probe is None:
        return []
    out = ["base"]
    for stage in entries.order():
        if entries.file.recipe.stage[stage].kind != "curator":
            out += [f"{stage}@{step}" for step in steps_along(entries, stage, steps.get(stage, 0))]
            out += [f"{stage}@end", stage] if entries.rule(stage) else [stage]
    return out


def probe_draws(entries: Entries, checkpoint: str) -> list[Draws]:
    """The answers that the probe needs of one checkpoint."""
    table = table_of(entries)
    return entries.draws(checkpoint, table.on, table.metrics, table.samples)


def probe_folders(entries: Entries) -> Iterator[Path]:
    """The entries that the probe reads."""
    for checkpoint in entries.probes():
        yield from (one.folder for one in probe_draws(entries, checkpoint))


def covered(entries: Entries, checkpoint: str) -> bool:
    """Whether the evaluations of a checkpoint draw every answer that its probe reads."""
    suites = entries.file.recipe.suite if checkpoint in entries.checkpoints() else ()
    wanted = entries.suite(table_of(entries).on).prompts.items()
    drawn: dict[Path, int] = {}
    for name in suites:
        if wanted <= entries.suite(name).prompts.items():
            drawn |= {one.folder: one.count for one in entries.draws(checkpoint, name)}
    return all(drawn.get(one.folder, 0) >= one.count for one in probe_draws(entries, checkpoint))


def probed(entries: Entries, checkpoint: str) -> dict[str, Any]:
    """One point, measured: problems, each metric's values and weights over them, and how the answers were drawn."""
    from warmrl.engine.scores import measure, read_samples

    table, registry = table_of(entries), entries.file.registry
    suite, draws = entries.suite(table.on), probe_draws(entries, checkpoint)
    names = sorted(suite.problems)
    clusters = [suite.problems[name].cluster for name in names]
    found = {
        "suite": suite.name,
        "problems": names,
        "metrics": measure(read_samples(draws, suite, registry), table.metrics, suite, names, registry),
        "settings": json.loads((draws[-1].folder / DESCRIPTION).read_text()) | {"samples": draws[-1].count},
    }
    if any(clusters):
        found["clusters"] = [one or name for one, name in zip(clusters, names, strict=True)]
    return found
