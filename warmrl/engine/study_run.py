"""Runs the cells of a study, each as a process of its own, some side by side; a failed one does not stop the others."""

from __future__ import annotations

import signal
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from warmrl.engine.study_child import Child
from warmrl.engine.study_file import Cell
from warmrl.engine.study_record import State, StudyRecord

# How often, in seconds, the processes are looked at.
LOOK_SECONDS = 0.1


class Listener:
    """Does nothing with what it hears of a study; override what you want to show."""

    def planned(self, reasons: Mapping[Cell, str | None]) -> None:
        """Cells that this process is asked for, and why each has to run (None: it is reused)."""

    def started(self, cell: Cell) -> None:
        """A cell's process was started."""

    def ended(self, cell: Cell, state: State, error: str | None) -> None:
        """A cell's process ended: finished, failed with an error, or stopped (`waiting`: it goes on next time)."""

    def look(self) -> None:
        """Something may have changed in the folders of the cells that run."""


@dataclass
class StudyRun:
    """One start of a study."""

    record: StudyRecord
    command: Callable[[Cell], Sequence[str]]
    """The command that runs a cell."""
    jobs: int = 1
    environment: Mapping[str, str] = field(default_factory=dict)
    """Laid over that of the cells' processes."""
    stopping: Callable[[], int] = lambda: 0
    listener: Listener = field(default_factory=Listener)
    failed: dict[Cell, str] = field(default_factory=dict)
    done: list[Cell] = field(default_factory=list)
    stopped: dict[Cell, str] = field(default_factory=dict)
    """What the cells said that a signal ended."""
    running: list[Child] = field(default_factory=list)

    def run(self, cells: Sequence[Cell]) -> None:
        """Run these cells in their order, `jobs` at a time, until all have ended or a signal came."""
        waiting = deque(cells)
        try:
            while waiting or self.running:
                if number := self.stopping():
                    waiting.clear()
                    self.tell(number)
                self.settle()
                while waiting and len(self.running) < self.jobs:
                    self.start(waiting.popleft())
                self.listener.look()
                time.sleep(LOOK_SECONDS if self.running else 0)
        finally:
            self.tell(signal.SIGTERM)  # something failed here: none is left behind, each comes to its border
            for child in self.running:
                child.process.wait()

    def tell(self, number: int) -> None:
        """Ask all cells at work to stop at their next border, each once: a second signal would end it at once."""
        for child in self.running:
            if not child.told:
                child.signal(number)

    def start(self, cell: Cell) -> None:
        """Start a cell's process."""
        folder = self.record.folder / cell.folder
        self.running.append(Child.start(cell, self.command(cell), folder, self.environment))
        self.record.update({cell: "running"})
        self.listener.started(cell)

    def settle(self) -> None:
        """Take note of the cells whose processes have ended."""
        for child in [one for one in self.running if one.ended() is not None]:
            self.running.remove(child)
            state: State = "finished"
            error = None
            if child.ended() and self.stopping():
                state = "waiting"
                self.stopped[child.cell] = child.said()
            elif child.ended():
                state, error = "failed", child.said()
                self.failed[child.cell] = error
            else:
                self.done.append(child.cell)
            self.record.update({child.cell: state}, error)
            self.listener.ended(child.cell, state, error)
