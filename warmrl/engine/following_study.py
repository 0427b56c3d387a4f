"""What a study is doing: its cells, each followed as the run that it is, read while other processes write. No torch."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from warmrl.engine.following import Run, table
from warmrl.engine.journal_tail import JsonFile
from warmrl.engine.run_place import STUDY_FILE
from warmrl.engine.run_process import alive

# A study whose file has no word about its process has this long to start its next cell, or to note how one ended.
BETWEEN_CELLS = 120.0


@dataclass
class Cell:
    """One cell: an arm with a seed, what `study.json` says of it, and its run."""

    arm: str
    seed: int | str
    told: str
    error: str | None
    run: Run

    @property
    def state(self) -> str:
        """`waiting`, `running`, `finished`, `failed`, or what its run is found to be (`died`, `silent`, `stopped`)."""
        if self.told == "waiting" and self.run.known and self.run.state == "stopped":
            return "stopped"
        return self.run.state if self.told == "running" and self.run.known else self.told

    @property
    def name(self) -> str:
        """How it is called."""
        return f"{self.arm}, seed {self.seed}"


@dataclass
class Study:
    """A study that is followed. `poll` first."""

    folder: Path
    cells: list[Cell] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._file = JsonFile(self.folder / STUDY_FILE)

    def poll(self) -> None:
        """Read what is new; of cells that are not at work only whether they changed."""
        if self._file.read():
            known = {one.run.folder: one.run for one in self.cells}
            listed = self.known.get("cells")
            rows = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
            self.cells = [self._cell(one, known) for one in rows]
        for one in self.cells:
            one.run.poll()

    def _cell(self, row: dict[str, Any], known: dict[Path, Run]) -> Cell:
        """A cell as `study.json` has it; a run that was followed before goes on being."""
        arm, seed = str(row.get("arm")), row.get("seed")
        folder = self.folder / str(row.get("folder") or Path(arm) / f"seed-{seed}")
        run = known.get(folder) or Run(folder)
        error = row.get("error")
        number = seed if isinstance(seed, int) else str(seed)
        return Cell(arm, number, str(row.get("state", "waiting")), str(error) if error else None, run)

    @property
    def known(self) -> dict[str, Any]:
        """What `study.json` says."""
        return self._file.known

    @property
    def name(self) -> str:
        """The study's name."""
        return str(self.known.get("name", self.folder.name))

    @property
    def state(self) -> str:
        """`running`, `finished`, `failed`, `stopped` (cells wait, and nobody is at them), or `died`, `silent` or
        `unreadable`, as of a run.
        """
        state = self.known.get("state")
        if state != "running":
            return state if state in ("finished", "failed", "stopped") else "unreadable"
        process = alive(self.known.get("process")) if table(self.known.get("process")) else None
        if process is not None:
            return "running" if process else "died"
        states = {one.state for one in self.running}
        if "running" in states or self.quiet() <= BETWEEN_CELLS:
            return "running"
        return "died" if states == {"died"} else "silent"

    @property
    def running(self) -> list[Cell]:
        """The cells that are said to be at work."""
        return [one for one in self.cells if one.told == "running"]

    def quiet(self) -> float:
        """Seconds since anything new came."""
        latest = min((one.run.quiet() for one in self.running), default=float("inf"))
        return min(latest, max(time.time() - self._file.changed_at(), 0.0))

    def count(self, state: str) -> int:
        """How many cells are in a state."""
        return sum(one.state == state for one in self.cells)
