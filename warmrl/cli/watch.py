"""`warmrl watch`: look at a run or a study while it runs. It reads files; it never writes and takes no lock."""

from __future__ import annotations

import json
import select
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from warmrl.engine.following import Run
    from warmrl.engine.following_study import Study

# Looks a second, and how often a key is looked for between two of them.
LOOKS, KEYS = 1.0, 0.1


def watch(
    target: Annotated[
        str | None,
        typer.Argument(help="A run or study, its folder or its name (default: the newest that runs).", metavar="RUN"),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Show it a single time and end.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and end.")] = False,
) -> None:
    """Curves, progress, and the best, worst and truncated rollouts of the last step. q ends; n and p choose a cell."""
    from rich.console import Console

    from warmrl.engine.known_runs import followed

    found, why = followed(target)
    if why and not as_json:
        print(why, file=sys.stderr)  # noqa: T201
    if as_json:
        from warmrl.cli.watch_json import described

        print(json.dumps(described(found)))  # noqa: T201
        return
    console = Console()
    if once:
        show_once(console, found)
    elif console.is_terminal:
        follow(console, found)
    else:
        with suppress(KeyboardInterrupt):
            follow_plainly(found)


def show_once(console: Any, found: Run | Study) -> None:
    """The view as it is now."""
    from warmrl.cli.watch_view import view

    console.print(view(found, console.width, max(console.height - 1, 1)))


def follow(console: Any, found: Run | Study) -> None:
    """The view, kept up to date until the run ends or somebody has seen enough; then the view stays on the terminal."""
    from rich.live import Live

    from warmrl.cli.watch_view import view

    looking = Looking()
    with suppress(KeyboardInterrupt), keys() as pressed, Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            live.update(view(found, console.width, console.height, looking.chosen), refresh=True)
            if found.state not in GOING_ON or looking.over(pressed):
                break
            found.poll()
    console.print(view(found, console.width, max(console.height - 1, 1), looking.chosen))


@dataclass
class Looking:
    """What somebody who looks on has chosen with keys."""

    chosen: int = 0

    def over(self, pressed: Callable[[float], str]) -> bool:
        """Wait for the next look, or less when a key chooses another cell; whether `q` was pressed."""
        until = time.monotonic() + LOOKS
        while time.monotonic() < until:
            key = pressed(KEYS)
            if key in ("q", "n", "p"):
                self.chosen += {"n": 1, "p": -1, "q": 0}[key]
                return key == "q"
        return False


GOING_ON = ("running", "silent")
"""States in which something may still come."""


@contextmanager
def keys() -> Iterator[Any]:
    """A function that waits so many seconds for a key and gives it, or nothing. The terminal is put back after."""
    if not sys.stdin.isatty():
        yield asleep
        return
    import termios
    import tty

    handle = sys.stdin.fileno()
    before = termios.tcgetattr(handle)

    def pressed(seconds: float) -> str:
        ready = select.select([handle], [], [], seconds)[0]
        return sys.stdin.read(1) if ready else ""

    try:
        tty.setcbreak(handle)
        yield pressed
    finally:
        termios.tcsetattr(handle, termios.TCSADRAIN, before)


def asleep(seconds: float) -> str:
    """Wait, where nobody can press a key."""
    time.sleep(seconds)
    return ""


def follow_plainly(found: Run | Study) -> None:
    """Lines for a log: what changed, and a step every so many."""
    told = Told()
    while True:
        for line in told.lines(found):
            print(line, flush=True)  # noqa: T201
        if found.state not in GOING_ON:
            return
        time.sleep(LOOKS)
        found.poll()


class Told:
    """What was said of a run or study, so that only what is new is."""

    def __init__(self) -> None:
        self.said: dict[Path, str] = {}
        self.steps: dict[tuple[Path, str], int] = {}

    def lines(self, found: Run | Study) -> Iterator[str]:
        """What is new, a line each; how it ended is the last."""
        from warmrl.cli.watch_view import ending, shown
        from warmrl.engine.following_study import Study

        if isinstance(found, Study):
            for one in found.cells:
                for line in self.of_run(one.run) if one.told == "running" else ():
                    yield f"{shown(one.name)}: {line}"
                if self.new(one.run.folder / "state", one.state):
                    yield f"{shown(one.name)}: {shown(one.state)}" + (f": {shown(one.error)}" if one.error else "")
        else:
            yield from self.of_run(found)
        if (sentence := ending(found)) and self.new(found.folder / "ending", found.state):
            yield sentence

    def of_run(self, run: Run) -> Iterator[str]:
        """The stage's newest step where it is time for one, and what else it does."""
        from warmrl.cli.display import PLAIN_LINES, numbers_of
        from warmrl.cli.watch_view import duration, shown, steps_of

        stage, journals = run.stage, run.journals
        if stage is not None and journals is not None and journals.row:
            each = max(1, (stage.steps or 1) // PLAIN_LINES)
            part = -1 if stage.step is None else stage.steps and -(-stage.step // each)
            if journals.step and self.steps.get((run.folder, stage.name)) != part:
                self.steps[run.folder, stage.name] = part or 0
                left = f"  {duration(run.left)} left" if run.left else ""
                yield f"{shown(stage.name)} {steps_of(stage)}  {numbers_of(journals.row, journals.timing)}{left}"
        doing = run.doing.partition(",")[0]
        if self.new(run.folder, doing) and doing:
            yield shown(doing)

    def new(self, what: Path, said: str) -> bool:
        """Whether this was not the last that was said of it."""
        before, self.said[what] = self.said.get(what), said
        return before != said
