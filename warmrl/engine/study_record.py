"""`study.json`: what a study is and how far its cells are. Several processes may write it, each under its lock."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock

from warmrl.engine.run_place import STUDY_FILE, known_study
from warmrl.engine.storage import write_json, write_text
from warmrl.engine.study_file import Cell, StudyFile

State = Literal["waiting", "running", "finished", "failed"]
# The study as one table without a parent, `--set` applied: what its cells run, and what `warmrl report` reads.
MERGED = "recipe.merged.json"


@dataclass
class StudyRecord:
    """A study's folder as a whole; each cell's own run folder is the cell's."""

    study: StudyFile
    folder: Path

    @cached_property
    def lock(self) -> FileLock:
        """Held by whoever replaces what belongs to the whole study."""
        return FileLock(self.folder / ".lock")

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody else replaces the study's files meanwhile."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.lock:
            yield

    def begin(self, cells: Mapping[Cell, State]) -> None:
        """Write the recipe as it is and as one table, and what is known of the cells."""
        file = self.study.path
        with self.alone():
            self.update(cells)
            if file.resolve() != (self.folder / MERGED).resolve():
                write_text(self.folder / ("recipe.json" if file.suffix == ".json" else "recipe.toml"), self.study.text)
            write_json(self.folder / MERGED, self.study.whole())

    def update(self, cells: Mapping[Cell, State], error: str | None = None) -> None:
        """Take new states of some cells (`error`: why one failed); what others wrote of the rest stays."""
        with self.alone():
            known = {(one["arm"], one["seed"]): one for one in known_study(self.folder).get("cells", [])}
            rows = []
            for cell in self.study.cells:
                row = {
                    "arm": cell.arm,
                    "seed": cell.seed,
                    "folder": str(cell.folder),
                    "state": "waiting",
                    "error": None,
                }
                row |= known.get((cell.arm, cell.seed), {})
                rows.append(row | ({"state": cells[cell], "error": error} if cell in cells else {}))
            write_json(self.folder / STUDY_FILE, self.about() | {"state": state_of(rows), "cells": rows})

    def about(self) -> dict[str, Any]:
        """What does not change while the study runs."""
        study = self.study.study
        return {
            "name": self.study.name,
            "state": "running",
            "control": study.control,
            "seeds": study.seeds,
            "arms": self.study.arms,
            "match": study.match,
            "outcome": study.outcome,
        }


def state_of(rows: list[dict[str, Any]]) -> State:
    """The whole study's state: `running` until every cell has ended, here or elsewhere."""
    states = {one["state"] for one in rows}
    if states == {"finished"}:
        return "finished"
    return "running" if states & {"running", "waiting"} else "failed"
