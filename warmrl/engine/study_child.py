"""One cell of a study as a process of its own: its command, its log, how it ended."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from warmrl.domain.errors import Interrupted
from warmrl.engine.launch import PARENT, exit_code
from warmrl.engine.run_place import LOG
from warmrl.engine.study_file import Cell

# Lines of a log that are shown of a process that did not say what went wrong.
SHOWN_LINES = 5


@dataclass
class Child:
    """A cell at work. It gets SIGTERM when this process is gone, and then writes a checkpoint."""

    cell: Cell
    process: subprocess.Popen[bytes]
    log: Path
    begins: int
    """Where in the log this start begins."""
    began: float
    told: bool = False
    """Whether it was asked to stop."""

    @classmethod
    def start(cls, cell: Cell, command: Sequence[str], folder: Path, more: Mapping[str, str]) -> Child:
        """Start a cell's process in the cell's run folder `folder`; `more` is laid over its environment.

        From the main thread alone: the kernel's signal comes when the thread that started a process ends.
        """
        folder.mkdir(parents=True, exist_ok=True)
        log = folder / LOG
        with log.open("ab") as stream:
            begins = stream.tell()
            process = subprocess.Popen(  # noqa: S603
                command,
                env=os.environ | more | {PARENT: str(os.getpid()), "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                process_group=0,  # a terminal's Ctrl-C comes once, from the study
            )
        return cls(cell, process, log, begins, time.monotonic())

    def ended(self) -> int | None:
        """The exit code as a shell gives it, or None while it runs."""
        return None if self.process.poll() is None else exit_code(self.process)

    def signal(self, number: int) -> None:
        """Ask it to stop at its next border."""
        self.told = True
        self.process.send_signal(number)

    def said(self) -> str:
        """Why it failed: the last paragraph of what it said, and the signal that ended it, if one did."""
        with self.log.open("rb") as stream:
            stream.seek(self.begins)
            text = stream.read().decode("utf-8", "replace")
        code = self.process.returncode
        killed = f"It was ended by {signal.Signals(-code).name}. " if code and code < 0 else ""
        return (killed + last_paragraph(text)).strip() or f"It ended with exit code {code} and said nothing."


def last_paragraph(text: str) -> str:
    """What `warmrl` said of an error at the end of a log, as one line; or the last lines of anything else."""
    lines = [line.rstrip() for line in text.splitlines()]
    start = next((at for at in reversed(range(len(lines))) if lines[at].startswith("warmrl: ")), None)
    kept = [line for line in lines if line][-SHOWN_LINES:] if start is None else lines[start:]
    return re.sub(r"\s+", " ", " ".join(kept)).removeprefix("warmrl: ").strip()


def cell_command(cell: Cell, recipe: Path, study: Path, options: Sequence[str]) -> list[str]:
    """`warmrl run` of one cell: the study's merged recipe, the cell's folder, and what the study was started with.

    Its log has the traceback of whatever fails.
    """
    where = ["--cell", f"{cell.arm},{cell.seed}", "--out", str(study / cell.folder)]
    return [sys.executable, "-m", "warmrl", "--debug", "run", str(recipe), *where, *options]


def threads(jobs: int, processes: int) -> dict[str, str]:
    """How many threads each of several cells gets, unless somebody has said it: an even share of the cores."""
    if jobs == 1 or "OMP_NUM_THREADS" in os.environ:
        return {}
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return {"OMP_NUM_THREADS": str(max(1, cores // (jobs * processes)))}


@contextmanager
def only_one(folder: Path, stopping: Callable[[], int]) -> Iterator[None]:
    """In a cell's process: be the only one at its run folder. One whose study was killed may be about to stop there."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    while not lock.is_locked:
        try:
            lock.acquire(timeout=1)
        except Timeout:
            if number := stopping():
                raise Interrupted(
                    f"Stopped by signal {number} while another process was at it.", 128 + number
                ) from None
    try:
        yield
    finally:
        lock.release()


def at_work(folder: Path) -> bool:
    """Whether a cell's process is at its run folder now."""
    if not folder.is_dir():
        return False
    try:
        with FileLock(folder / ".lock", timeout=0):
            return False
    except Timeout:
        return True
