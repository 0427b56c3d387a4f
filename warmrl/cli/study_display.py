"""What a person watches while a study runs: a table of arms and seeds on a terminal, plain lines when piped."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from warmrl.cli.display import numbers_of
from warmrl.engine.following import Run
from warmrl.engine.run_place import known_study
from warmrl.engine.study_file import Cell
from warmrl.engine.study_record import State, StudyRecord
from warmrl.engine.study_run import Listener

# How often, in seconds, the folders of running cells are read, and a plain log is told where they are.
READ_SECONDS = 1.0
PLAIN_SECONDS = 60.0


@contextmanager
def listener_for(record: StudyRecord) -> Iterator[Listener]:
    """The view that fits where standard error goes."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield Plain(record)
        return
    with Live(console=console, refresh_per_second=4) as live:
        yield Shown(record, live)


class Plain(Listener):
    """Lines for a log file."""

    def __init__(self, record: StudyRecord) -> None:
        self.record = record
        self.started_at = time.monotonic()
        self.running: dict[Cell, float] = {}
        self.runs: dict[Cell, Run] = {}
        self.told = self.started_at

    def planned(self, reasons: Mapping[Cell, str | None]) -> None:
        for sentence in planned_sentences(reasons):
            self.say(sentence)

    def started(self, cell: Cell) -> None:
        self.running[cell] = time.monotonic()
        self.runs[cell] = Run(self.record.folder / cell.folder)
        self.say(f"{cell}: started.")

    def ended(self, cell: Cell, state: State, error: str | None) -> None:
        took = clock(time.monotonic() - self.running.pop(cell))
        words = "stopped" if state == "waiting" else state
        self.say(f"{cell}: {words} after {took}." + (f" {error}" if error else ""))

    def look(self) -> None:
        if time.monotonic() - self.told >= PLAIN_SECONDS:
            self.told = time.monotonic()
            for cell in self.running:
                self.say(f"{cell}: {words_of(self.runs[cell])}")

    def say(self, sentence: str) -> None:
        print(f"[{time.monotonic() - self.started_at:6.1f} s] {sentence}", file=sys.stderr, flush=True)  # noqa: T201


class Shown(Listener):
    """The table of arms and seeds."""

    def __init__(self, record: StudyRecord, live: Live) -> None:
        self.record, self.live = record, live
        self.started_at = time.monotonic()
        self.running: dict[Cell, float] = {}
        self.runs: dict[Cell, Run] = {}
        self.cells: dict[Cell, str] = {}
        self.read = 0.0

    def planned(self, reasons: Mapping[Cell, str | None]) -> None:
        for sentence in planned_sentences(reasons):
            self.live.console.print(sentence, highlight=False, markup=False)
        there = {(one["arm"], one["seed"]): one["state"] for one in known_study(self.record.folder)["cells"]}
        for cell in self.record.study.cells:
            elsewhere = cell not in reasons
            state = there[cell.arm, cell.seed]
            self.cells[cell] = f"[dim]{'reused' if state == 'finished' and not elsewhere else state}[/]"
        self.show()

    def started(self, cell: Cell) -> None:
        self.running[cell] = time.monotonic()
        self.runs[cell] = Run(self.record.folder / cell.folder)
        self.cells[cell] = "starting"
        self.show()

    def ended(self, cell: Cell, state: State, error: str | None) -> None:
        took = clock(time.monotonic() - self.running.pop(cell))
        words = {"finished": "[green]done", "failed": "[red]failed", "waiting": "stopped"}
        self.cells[cell] = f"{words.get(state, state)}[/] [dim]{took}[/]" if state != "waiting" else f"stopped {took}"
        if error:
            self.live.console.print(f"{cell}: {error}", highlight=False, markup=False, style="red")
        self.show()

    def look(self) -> None:
        if time.monotonic() - self.read >= READ_SECONDS:
            self.read = time.monotonic()
            for cell, began in self.running.items():
                self.cells[cell] = f"{escape(words_of(self.runs[cell]))} [dim]{clock(time.monotonic() - began)}[/]"
            self.show()

    def show(self) -> None:
        """Draw the table."""
        study = self.record.study
        seeds = study.study.seeds
        title = f"{study.name}, {clock(time.monotonic() - self.started_at)}"
        table = Table("arm", *(f"seed {seed}" for seed in seeds), title=title, title_justify="left")
        for arm in study.arms:
            table.add_row(arm, *(self.cells[Cell(seed, arm)] for seed in seeds))
        self.live.update(table)


def planned_sentences(reasons: Mapping[Cell, str | None]) -> Iterator[str]:
    """What is reused, and why each of the others runs."""
    reused = [cell for cell, why in reasons.items() if why is None]
    if reused:
        yield f"{len(reused)} of {len(reasons)} cells are finished and reused: {'; '.join(map(str, reused))}."
    for why in dict.fromkeys(one for one in reasons.values() if one is not None):
        yield f"To run ({why}): {'; '.join(str(cell) for cell, one in reasons.items() if one == why)}."


def words_of(run: Run) -> str:
    """Where a cell is now, with the numbers of its newest step."""
    run.poll()
    stage = next((one for one in run.stages if one.state == "running"), None)
    if stage is None or run.journals is None:
        return run.doing or "starting"
    step = f"{stage.name} {stage.step}" + (f"/{stage.steps}" if stage.steps else "")
    row = run.journals.row
    numbers: dict[str, Any] = {name: row[name] for name in ("reward", "entropy", "entropy_on_data") if name in row}
    return f"{step}  {numbers_of(numbers, {})}".strip()


def clock(seconds: float) -> str:
    """Minutes and seconds, with hours where there are some."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
