"""What a study will run, reuse, compare and take, before anything is spent; after it, the same beside what it took.

Whatever several cells share (a base's answers, a teacher's traces, a stage) is counted once, in the first that has it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from warmrl.engine.budget import AMOUNTS, warm_budget
from warmrl.engine.entries import Entries
from warmrl.engine.fairness import fairness
from warmrl.engine.forecast.estimates import Costs, assumptions, whole_study
from warmrl.engine.forecast.machines import machine
from warmrl.engine.forecast.report import resources_report
from warmrl.engine.forecast.resources import Resources
from warmrl.engine.forecast.speeds import Speeds, measurable, measured
from warmrl.engine.run_place import PLAN, known_run
from warmrl.engine.study_entries import StudyEntries
from warmrl.engine.study_file import Cell, StudyFile
from warmrl.engine.usage import Usage, usage_of


@dataclass
class Work:
    """What has to be made: stages and answers by where they will be, each once."""

    cells: list[dict[str, Any]] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    needed: int = 0
    there: int = 0

    def add(self, cell: Cell, entries: Entries, costs: Costs) -> None:
        """A cell's stages and evaluations."""
        stages = [self.stage(entries, name, costs) for name in entries.order()]
        evaluations = list(self.evaluations(entries, costs))
        own = [one for one in (*stages, *evaluations) if one["status"] == "runs"]
        idle = not own
        seconds = None if any(one["seconds"] is None for one in own) else sum(one["seconds"] for one in own)
        cpu = None if any(one["cpu_seconds"] is None for one in own) else sum(one["cpu_seconds"] for one in own)
        start = costs.of_run()
        if not idle and start is not None and seconds is not None and cpu is not None:
            seconds, cpu = seconds + start.once, cpu + start.cpu_once
        self.cells.append(
            {
                "arm": cell.arm, "seed": cell.seed, "folder": str(cell.folder), "stages": stages,
                "evaluations": evaluations, "seconds": seconds, "cpu_seconds": cpu,
            }
        )  # fmt: skip

    def stage(self, entries: Entries, name: str, costs: Costs) -> dict[str, Any]:
        """One stage of a cell: whether it runs here, is there, or another cell makes it."""
        key = entries.stage_key(name) if costs.here else f"{entries.file.recipe.seed} {name} {id(entries)}"
        why = entries.missing(name, entries.kept_steps(name)) if costs.here else "its key is not known yet"
        return {"stage": name, "use": entries.file.recipe.stage[name].use, "key": key} | self.status(
            key, why, *costs.stage(name)
        )

    def evaluations(self, entries: Entries, costs: Costs) -> Iterator[dict[str, Any]]:
        """The answers that a cell needs."""
        for label, asked in costs.asked().items():
            for checkpoint in asked.checkpoints:
                key = self.answers_key(entries, checkpoint, asked) if costs.here else f"{label} {id(entries)}"
                done = costs.here and entries.sampled(checkpoint, asked.suite, asked.metrics, asked.samples)
                found = self.status(key, None if done else "it is new", *costs.answers(label))
                yield {"checkpoint": checkpoint, "suite": label} | found

    def answers_key(self, entries: Entries, checkpoint: str, asked: Any) -> str:
        """Where answers will be, and how many."""
        draws = entries.draws(checkpoint, asked.suite, asked.metrics, asked.samples)
        return (
            " ".join(f"{one.folder.name}:{one.count}" for one in draws) + f" {len(entries.suite(asked.suite).problems)}"
        )

    def status(self, key: str, why: str | None, seconds: float | None, cpu: float | None) -> dict[str, Any]:
        """Whether something runs, is there, or is made by a cell before."""
        first = key not in self.seen
        self.seen.add(key)
        self.needed += first
        if why is None:
            self.there += first
            return {"status": "there", "seconds": 0.0, "cpu_seconds": 0.0}
        if not first:
            return {"status": "shared", "seconds": 0.0, "cpu_seconds": 0.0}
        return {"status": "runs", "seconds": seconds, "cpu_seconds": cpu}


def study_plan(
    study: StudyFile,
    store: Path,
    device: str | None = None,
    accepted: Sequence[str] = (),
    *,
    jobs: int = 1,
    measure: bool | None = False,
    only: Sequence[Cell] = (),
    stopping: Callable[[], int] = lambda: 0,
) -> dict[str, Any]:
    """The plan as plain values: "cells", "reuse", "fairness", "budget", "estimates", "refused".

    `measure` times a few steps where nothing else tells (`forecast/speeds.py`), None: where that takes little. Without
    it times are those that an earlier plan has measured. `only`: these cells (default: all).
    Raises `UsageError` for a model or a teacher that is none, `DataError` for data that cannot be read.
    """
    cells = StudyEntries(study, store)
    here = machine(device, max(file.recipe.launch.processes for file in study.recipes.values()))
    outlines: dict[Any, Any] = {}
    resources = {name: Resources(one, here, outlines=outlines) for name, one in cells.arms.items()}
    reports = {name: resources_report(one) for name, one in whole(cells, resources).items()}
    work = {name: one["stages"] for name, one in reports.items()}
    rows = fairness(study, accepted, work)
    speeds = speeds_of(cells, work, store, here.peak, measure, stopping)
    found = Work()
    chosen = only or study.cells
    for cell in chosen:
        entries = cells.of(cell)
        found.add(cell, entries, Costs(entries, resources[cell.arm], reports[cell.arm], speeds))
    return {
        "name": study.name,
        "match": study.study.match,
        "cells": found.cells,
        "reuse": {"needed": found.needed, "there": found.there, "runs": count(found.cells, "runs"),
                  "shared": count(found.cells, "shared")},
        "fairness": rows,
        "budget": {name: budget_of(one, study.study.outcome, work[name]) for name, one in cells.arms.items()},
        "estimates": whole_study(
            found.cells, {name: one for name, one in reports.items() if name in {cell.arm for cell in chosen}}, speeds,
            here, jobs, len({cell.seed for cell in chosen}),
        ),
        "assumptions": assumptions(reports, speeds, here, jobs),
        "refused": list(dict.fromkeys(why for one in reports.values() for why in one["refused"])),
    }  # fmt: skip


def whole(cells: StudyEntries, resources: Mapping[str, Resources]) -> dict[str, Resources]:
    """Each arm's resources as if nothing were there: what is reused is left out cell by cell."""
    nowhere = Path("no-store")
    return {
        name: replace(one, entries=replace(cells.arms[name], store=nowhere, keys={})) for name, one in resources.items()
    }


def speeds_of(
    cells: StudyEntries,
    work: Mapping[str, Mapping[str, Any]],
    store: Path,
    peak: float | None,
    measure: bool | None,
    stopping: Callable[[], int],
) -> Speeds:
    """Measured speeds, where the device's peak says nothing."""
    if measure is None:
        measure = peak is None and all(measurable(one, work[name]) for name, one in cells.arms.items())
    if measure:
        return measured(cells.arms.values(), store, stopping)
    return Speeds.kept(store) if peak is None else Speeds()


def count(cells: Sequence[Mapping[str, Any]], status: str) -> int:
    """Stages and evaluations of a status, over all cells."""
    return sum(one["status"] == status for cell in cells for kind in ("stages", "evaluations") for one in cell[kind])


def budget_of(entries: Entries, outcome: str, work: Mapping[str, Any]) -> dict[str, Any]:
    """An arm's planned warm start."""
    budget = warm_budget(entries, outcome, work)
    return {name: getattr(budget, name) for name in AMOUNTS} | {"at_most": budget.at_most}


def used(study: StudyFile, folder: Path) -> dict[str, Any]:
    """What each cell's run has used so far, by its folder: what comes after the plan is the difference."""
    found = {str(cell.folder): usage_of(folder / cell.folder) for cell in study.cells}
    return {name: asdict(one) for name, one in found.items() if one is not None}


def spent(plan: Mapping[str, Any], folder: Path) -> Iterator[tuple[dict[str, Any], Usage]]:
    """Cells that were to run and have finished since, each with what it has used since the plan."""
    for one in plan["cells"]:
        runs = any(part["status"] == "runs" for kind in ("stages", "evaluations") for part in one[kind])
        now = usage_of(folder / one["folder"])
        if runs and now is not None and known_run(folder / one["folder"]).get("state") == "finished":
            before = plan.get("used", {}).get(one["folder"])
            since = now.since(Usage(**before)) if before else now
            if since.seconds > 0:
                yield one, since


def estimates_beside(folder: Path) -> list[dict[str, Any]]:
    """What was estimated (`plan.json` of a study's folder) beside what its cells' runs took: what, estimated, measured.

    Empty without a plan, or before any cell has ended. Cells that were reused, or are not finished, are left out of
    both; what a cell used before the plan was made is no part of it.
    """
    try:
        plan = json.loads((folder / PLAN).read_text())
    except (OSError, ValueError):
        return []
    ran = list(spent(plan, folder))
    out = []
    for name, what in (("seconds", "time of all cells, in seconds"),
                       ("cpu_seconds", "time of processors, all cells, in seconds")):  # fmt: skip
        if ran and all(one[name] is not None for one, _ in ran):
            out.append({"what": what, "estimated": sum(one[name] for one, _ in ran),
                        "measured": sum(getattr(usage, name) for _, usage in ran)})  # fmt: skip
    if ran and plan["estimates"]["peak_bytes"] is not None:
        peak = max(usage.peak_bytes for _, usage in ran)
        out.append({"what": "memory of one process at its peak, in bytes",
                    "estimated": plan["estimates"]["peak_bytes"], "measured": peak})  # fmt: skip
    return out
