"""A study on the command line: what is reused, the cells that run, the report of whatever is there, and a summary."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from warmrl.domain.errors import Interrupted, UsageError, WarmrlError

if TYPE_CHECKING:
    from warmrl.engine.study_cells import Known
    from warmrl.engine.study_file import Cell, StudyFile
    from warmrl.engine.study_record import State, StudyRecord


@dataclass(frozen=True)
class Asked:
    """What the command line says of a study."""

    out: Path | None
    jobs: int
    only: Sequence[str]
    accept: Sequence[str]
    measure: bool | None
    """Whether the plan times a few steps; None: where that takes little."""
    tracker: str | None
    processes: int | None
    trust_remote_code: bool
    as_json: bool

    def options(self) -> list[str]:
        """What every cell's command is told of it."""
        given = [("--tracker", self.tracker), ("--processes", self.processes)]
        options = [word for name, value in given if value is not None for word in (name, str(value))]
        return [*options, "--trust-remote-code"] if self.trust_remote_code else options


def run_study(study: StudyFile, asked: Asked, stopping: Any) -> None:
    """Run a study's cells, or go on with them. Raises `WarmrlError` when one failed, `Interrupted` after a signal."""
    from warmrl.cli.study_display import listener_for
    from warmrl.engine import slurm
    from warmrl.engine.launch import launched
    from warmrl.engine.run_place import MERGED, claim, home
    from warmrl.engine.storage import require_space
    from warmrl.engine.study_cells import Known, chosen
    from warmrl.engine.study_child import cell_command, threads
    from warmrl.engine.study_record import StudyRecord
    from warmrl.engine.study_run import StudyRun

    slurm.adopt()
    if launched():
        raise UsageError(
            f"The study `{study.name}` starts the processes of its cells itself; start it without a launcher, or a "
            "part of it on each machine with `--only`."
        )
    folder = asked.out or home() / study.name
    cells = chosen(study, asked.only)
    claim(folder, study.name, study=True)
    for place in (folder, home()):
        require_space(place)
    known = Known(study, folder, home() / "store")
    known.check()
    record = StudyRecord(study, folder)
    fair(study, asked.accept)
    reasons = {cell: known.why(cell) for cell in cells}
    say_damaged(folder)
    seen = record.told()
    record.begin(asked_for(reasons), others(record, known, reasons, seen), seen)
    try:
        plan_once(record, known.store, asked, stopping)
        with listener_for(record) as listener:
            work = StudyRun(
                record,
                lambda cell: cell_command(cell, folder / MERGED, folder, asked.options()),
                asked.jobs,
                threads(asked.jobs, asked.processes or most_processes(study)),
                stopping,
                listener,
            )
            listener.planned(reasons)
            work.run([cell for cell, why in reasons.items() if why is not None])
    finally:
        record.end()
    if stopping():
        raise Interrupted(stopped_sentence(stopping(), work.stopped), 128 + stopping())
    found = summarise(record, report_study(record), reasons)
    if asked.as_json:
        print(json.dumps(found))  # noqa: T201
    if work.failed:
        raise WarmrlError(
            f"{len(work.failed)} of {len(cells)} cells failed ({'; '.join(map(str, work.failed))}); the others are "
            "done. The same command tries them again."
        )


def stopped_sentence(number: int, stopped: Mapping[Cell, str]) -> str:
    """What a signal ended, each cell in its own words."""
    cells = " ".join(f"{cell}: {said}" for cell, said in stopped.items()) or "No cell was stopped in the middle."
    return f"Stopped by signal {number}. {cells} The same command goes on with the study."


def say_damaged(folder: Path) -> None:
    """Say that the index of the study's cells is made again, where it has to be."""
    from warmrl.engine.run_place import STUDY_FILE, damaged_study

    if damaged_study(folder):
        print(  # noqa: T201
            f"{folder / STUDY_FILE} is damaged; it is made again from what the cells' own folders say.", file=sys.stderr
        )


def most_processes(study: StudyFile) -> int:
    """The processes of the arm that takes most."""
    return max(file.recipe.launch.processes for file in study.recipes.values())


def asked_for(reasons: Mapping[Cell, str | None]) -> dict[Cell, State]:
    """The states of the cells that this process is asked for, before it starts any."""
    return {cell: "finished" if why is None else "waiting" for cell, why in reasons.items()}


def others(
    record: StudyRecord, known: Known, reasons: Mapping[Cell, str | None], seen: Mapping[Cell, State]
) -> dict[Cell, State]:
    """The states of the other cells as they are found; what another process failed at, or starts, is left as `seen`."""
    from warmrl.engine.following_study import Study
    from warmrl.engine.study_child import at_work

    going_on = Study(record.folder)
    going_on.poll()
    kept = ("failed", "running") if going_on.state == "running" else ("failed",)
    left = [cell for cell in record.study.cells if cell not in reasons and seen.get(cell) not in kept]
    working = {cell for cell in left if at_work(record.folder / cell.folder)}
    return {
        cell: "running" if cell in working else "finished" if known.why(cell) is None else "waiting" for cell in left
    }


def fair(study: StudyFile, accept: Sequence[str]) -> None:
    """Refuse differences between arms that nobody declared or accepted. Raises `RecipeError`."""
    from warmrl.engine.fairness import fairness, refuse_unexplained

    refuse_unexplained(fairness(study, accept), study.path)


def plan_once(record: StudyRecord, store: Path, asked: Asked, stopping: Any) -> None:
    """Write the study's plan before anything is spent. A start that goes on with the same study keeps the first's."""
    from warmrl.engine.keys import key_of
    from warmrl.engine.run_place import PLAN, object_in
    from warmrl.engine.storage import write_json
    from warmrl.engine.study_plan import study_plan, used

    file, of = record.folder / PLAN, key_of({"study": record.study.whole(), "accept": sorted(asked.accept)})
    if object_in(file).get("of") == of and not asked.measure:
        return
    print(f"Planning {len(record.study.cells)} cells ...", file=sys.stderr, flush=True)  # noqa: T201
    found = study_plan(
        record.study, store, None, asked.accept, jobs=asked.jobs, measure=asked.measure, stopping=stopping
    )
    with record.alone():
        if object_in(file).get("of") != of or asked.measure:  # nor has another process planned meanwhile
            own = {"of": of, "study": key_of(record.study.whole()), "used": used(record.study, record.folder)}
            write_json(file, found | own)


def report_study(record: StudyRecord) -> list[Path]:
    """Write the report of whatever is there; its files."""
    from warmrl.engine.study_report import write_study_report

    with record.report_lock:
        write_study_report(record.study, record.folder)
    return [file for name in ("json", "html", "md") if (file := record.folder / f"report.{name}").exists()]


def report_again(folder: Path) -> None:
    """Write the report of a study's folder again, from what its cells left. Raises `UsageError`."""
    from warmrl.engine import study_file
    from warmrl.engine.run_place import MERGED
    from warmrl.engine.study_record import StudyRecord

    study = study_file.read(folder / MERGED)
    if study is None:
        raise UsageError(f"{folder / MERGED} is no study; run the study again.")
    for file in report_study(StudyRecord(study, folder)):
        if file.suffix == ".html":
            print(file)  # noqa: T201


def summarise(record: StudyRecord, reports: Sequence[Path], reasons: Mapping[Cell, str | None]) -> dict[str, Any]:
    """Say what came of a study; returns what `--json` prints."""
    from warmrl.engine.run_place import known_study

    rows = known_study(record.folder)["cells"]
    by_state: dict[str, list[str]] = {}
    for one in rows:
        by_state.setdefault(one["state"], []).append(one["folder"])
    console = Console(stderr=True)
    counts = ", ".join(f"{len(cells)} {state}" for state, cells in by_state.items())
    console.print(f"Study `{record.study.name}`: {len(rows)} cells, {counts}.", highlight=False)
    for one in rows:
        if one["state"] == "failed":
            where = f"{one['arm']}, seed {one['seed']}"
            print(f"Failed: {where}: {one.get('error')} ({record.folder / one['folder']}/log.txt)", file=sys.stderr)  # noqa: T201
    for file in reports:
        if file.suffix == ".html":
            console.print(f"Report: {file}", highlight=False, soft_wrap=True)
    return {
        "study": record.study.name,
        "folder": str(record.folder),
        "cells": by_state,
        "reused": [str(cell.folder) for cell, why in reasons.items() if why is None],
        "reports": {file.suffix[1:]: str(file) for file in reports},
    }
