"""What a person watches while a recipe runs: a live view on a terminal, plain lines when piped."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from warmrl.engine.launch import is_first
from warmrl.engine.progress import Progress as Listener

# A plain log gets a line for the first and last step and about this many between.
PLAIN_LINES = 10


@contextmanager
def progress_for() -> Iterator[Listener]:
    """The view that fits where standard error goes."""
    if not is_first():
        yield Listener()
        return
    console = Console(stderr=True)
    if not console.is_terminal:
        yield Plain()
        return
    columns = (
        SpinnerColumn(finished_text="[green]✓"),
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[numbers]}"),
        TimeRemainingColumn(compact=True),
    )
    with Progress(*columns, console=console, refresh_per_second=4) as bars:
        yield Live(bars)


def numbers_of(row: dict[str, Any], timing: dict[str, Any]) -> str:
    """The few numbers of a step that a person follows."""
    entropy = row.get("entropy", row.get("entropy_on_data"))
    shown = [
        ("reward", row.get("reward"), ".3f"),
        ("loss", row.get("loss"), ".4f"),
        ("entropy", entropy, ".3f"),
        ("length", row.get("length"), ".1f"),
        ("tok/s", timing.get("tokens_per_second"), ",.0f"),
    ]
    return "  ".join(f"{name} {value:{form}}" for name, value, form in shown if value is not None)


class Plain(Listener):
    """Lines for a log file."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.evaluated: set[tuple[str, str]] = set()
        self.steps: dict[str, int] = {}

    def stage_started(self, name: str, use: str, steps: int) -> None:
        self.steps[name] = steps
        of = f", {steps} steps" if steps else ""
        self.say(f"Stage `{name}` ({use}{of}).")

    def step(self, row: dict[str, Any], timing: dict[str, Any]) -> None:
        step, steps = row["step"], self.steps[row["stage"]]
        if step in (1, steps) or step % max(1, steps // PLAIN_LINES) == 0:
            self.say(f"{row['stage']} {step}/{steps}  {numbers_of(row, timing)}")

    def stage_finished(self, name: str, reused: bool) -> None:
        self.say(f"Stage `{name}` reused: it was done before." if reused else f"Stage `{name}` done.")

    def evaluating(self, checkpoint: str, suite: str, done: int, total: int) -> None:
        if (checkpoint, suite) not in self.evaluated:
            self.evaluated.add((checkpoint, suite))
            self.say(f"Evaluating `{checkpoint}` on `{suite}`.")

    def say(self, sentence: str) -> None:
        print(f"[{time.monotonic() - self.started:6.1f} s] {sentence}", file=sys.stderr, flush=True)  # noqa: T201


class Live(Listener):
    """A bar for each stage and evaluation, with the numbers of the newest step."""

    def __init__(self, bars: Progress) -> None:
        self.bars = bars
        self.tasks: dict[str, Any] = {}

    def stage_started(self, name: str, use: str, steps: int) -> None:
        label = f"[bold]{name}[/] [dim]{use}[/]"
        self.tasks[name] = self.bars.add_task(label, total=steps or None, numbers="")

    def step(self, row: dict[str, Any], timing: dict[str, Any]) -> None:
        if row["stage"] in self.tasks:
            numbers = numbers_of(row, timing)
            self.bars.update(self.tasks[row["stage"]], completed=row["step"], numbers=numbers)

    def stage_finished(self, name: str, reused: bool) -> None:
        if reused:
            self.say(f"Stage `{name}` reused: it was done before.")
        elif name in self.tasks:
            task = next(one for one in self.bars.tasks if one.id == self.tasks[name])
            done = task.completed or 1
            self.bars.update(task.id, total=done, completed=done)

    def evaluating(self, checkpoint: str, suite: str, done: int, total: int) -> None:
        name = f"{checkpoint} {suite}"
        if name not in self.tasks:
            label = f"[bold]{checkpoint}[/] [dim]on {suite}[/]"
            self.tasks[name] = self.bars.add_task(label, total=total, numbers="evaluating")
        self.bars.update(self.tasks[name], completed=done, numbers="" if done == total else "evaluating")

    def say(self, sentence: str) -> None:
        self.bars.console.print(sentence, highlight=False)
