"""`study.json`: what a study is and how far its cells are. Several processes may write it, each under its lock."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from filelock import FileLock

from warmrl.domain.errors import UsageError
from warmrl.engine.following_study import Study
from warmrl.engine.keys import key_of
from warmrl.engine.run_place import MERGED, STUDY_FILE, known_run, known_study, object_in
from warmrl.engine.run_process import this_process
from warmrl.engine.storage import write_json, write_text
from warmrl.engine.study_child import at_work
from warmrl.engine.study_file import Cell, StudyFile

State = Literal["waiting", "running", "finished", "failed"]
NOTHING: Mapping[Cell, State] = MappingProxyType({})


@dataclass
class StudyRecord:
    """A study's folder as a whole; each cell's own run folder is the cell's."""

    study: StudyFile
    folder: Path

    @cached_property
    def lock(self) -> FileLock:
        """Held by whoever replaces what belongs to the whole study."""
        return FileLock(self.folder / ".lock")

    @cached_property
    def report_lock(self) -> FileLock:
        """Held while the report is written, which takes long: cells start and end meanwhile."""
        return FileLock(self.folder / ".lock-report")

    @cached_property
    def process(self) -> dict[str, Any]:
        """Who this is."""
        return this_process()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody else replaces the study's files meanwhile."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.lock:
            yield

    def told(self) -> dict[Cell, State]:
        """What `study.json` says of the study's cells."""
        rows = {(one["arm"], one["seed"]): one["state"] for one in known_study(self.folder).get("cells", [])}
        return {cell: rows[cell.arm, cell.seed] for cell in self.study.cells if (cell.arm, cell.seed) in rows}

    def begin(
        self,
        asked: Mapping[Cell, State],
        others: Mapping[Cell, State] = NOTHING,
        seen: Mapping[Cell, State] = NOTHING,
    ) -> None:
        """Write the recipe as it is and as one table, and what is known of the cells. Raises `UsageError`.

        The cells that are `asked` for are this process's. What was found out of the `others`, while `study.json` said
        what was `seen`, holds only if nobody has said anything else since.
        """
        file = self.study.path
        with self.alone():
            self.refuse_another()
            now = self.told()
            self.update({**asked, **{cell: one for cell, one in others.items() if now.get(cell) == seen.get(cell)}})
            if file.resolve() != (self.folder / MERGED).resolve():
                write_text(self.folder / ("recipe.json" if file.suffix == ".json" else "recipe.toml"), self.study.text)
            write_json(self.folder / MERGED, self.study.whole())

    def refuse_another(self) -> None:
        """Refuse to replace the recipe of cells that another process is at, or is about to start."""
        here = object_in(self.folder / MERGED)
        if not here or key_of(here) == key_of(self.study.whole()):
            return
        known = known_study(self.folder)
        cells = dict.fromkeys(
            [*(str(one.folder) for one in self.study.cells), *(one["folder"] for one in known.get("cells", []))]
        )
        busy = [one for one in cells if at_work(self.folder / one)]
        process, going_on = known.get("process") or {}, Study(self.folder)
        going_on.poll()
        own = (self.process["host"], self.process["pid"])
        if going_on.state == "running" and process and (process["host"], process["pid"]) != own:
            busy.append(f"process {process['pid']} on {process['host']}")
        if busy:
            raise UsageError(
                f"Another process runs the study in {self.folder} ({', '.join(busy)}) by a recipe that differs from "
                f"{self.study.path}: its cells would not be of one study. Wait for its end or stop it, or choose "
                "another folder with `--out`."
            )

    def end(self) -> None:
        """Leave the study to other processes, if some are at its cells; without, what waits makes it `stopped`."""
        with self.alone():
            about = known_study(self.folder)
            states = {one["state"] for one in about.get("cells", [])}
            if about.get("process") != self.process:
                return
            if "running" in states:  # this one's end does not say that it died
                write_json(self.folder / STUDY_FILE, {name: one for name, one in about.items() if name != "process"})
            elif "waiting" in states:
                write_json(self.folder / STUDY_FILE, about | {"state": "stopped"})

    def update(self, cells: Mapping[Cell, State], error: str | None = None) -> None:
        """Take new states of some cells (`error`: why one failed); what others wrote of the rest stays."""
        with self.alone():
            known = {(one["arm"], one["seed"]): one for one in known_study(self.folder).get("cells", [])}
            rows = []
            for cell in self.study.cells:
                row = known.get((cell.arm, cell.seed)) or self.new_row(cell)
                rows.append(row | ({"state": cells[cell], "error": error} if cell in cells else {}))
            write_json(self.folder / STUDY_FILE, self.about() | {"state": state_of(rows), "cells": rows})

    def new_row(self, cell: Cell) -> dict[str, Any]:
        """What is known of a cell that `study.json` does not have, or not any more."""
        state = "finished" if known_run(self.folder / cell.folder).get("state") == "finished" else "waiting"
        return {"arm": cell.arm, "seed": cell.seed, "folder": str(cell.folder), "state": state, "error": None}

    def about(self) -> dict[str, Any]:
        """What the study is, and the process that wrote this."""
        study = self.study.study
        return {
            "name": self.study.name,
            "state": "running",
            "control": study.control,
            "seeds": study.seeds,
            "arms": self.study.arms,
            "match": study.match,
            "outcome": study.outcome,
            "process": self.process,
        }


def state_of(rows: list[dict[str, Any]]) -> State:
    """The whole study's state: `running` until every cell has ended, here or elsewhere."""
    states = {one["state"] for one in rows}
    if states == {"finished"}:
        return "finished"
    return "running" if states & {"running", "waiting"} else "failed"
