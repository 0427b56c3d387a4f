"""What a process has used so far: seconds by the clock, of processors, and memory at its peak. No part of a result."""

from __future__ import annotations

import json
import resource
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from warmrl.engine.storage import write_json

FILE = "usage.json"
# How often, in seconds, a run that is in the middle of something writes what it has used.
EVERY_SECONDS = 60.0


@dataclass(frozen=True)
class Usage:
    """Of a process since it began, its finished children's processors with it.

    Args:
        seconds: By the clock.
        cpu_seconds: Of processors.
        peak_bytes: Most memory that was resident at once, of the process itself.
    """

    seconds: float
    cpu_seconds: float
    peak_bytes: int

    @classmethod
    def now(cls) -> Usage:
        """So far."""
        own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        cpu = own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
        unit = 1 if sys.platform == "darwin" else 1024
        return cls(time.time() - psutil.Process().create_time(), cpu, own.ru_maxrss * unit)

    def since(self, earlier: Usage) -> Usage:
        """Between two moments; the peak is the later one's."""
        return Usage(self.seconds - earlier.seconds, self.cpu_seconds - earlier.cpu_seconds, self.peak_bytes)


class KeptUsage:
    """What all starts of a run have used (`usage.json` in the run folder), written along the way: one may be killed.

    Args:
        folder: The run's.
        before: What the process had used when the run began, where it did other things first.
    """

    def __init__(self, folder: Path, before: Usage | None) -> None:
        self.folder, self.before = folder, before
        self.earlier = usage_of(folder)
        self.written_at = time.monotonic()

    def keep(self) -> None:
        """Write what was used so far, with what earlier starts used."""
        now, old = Usage.now(), self.earlier
        own = now if self.before is None else now.since(self.before)
        total = Usage(
            old.seconds + own.seconds, old.cpu_seconds + own.cpu_seconds, max(old.peak_bytes, own.peak_bytes)
        ) if old else own  # fmt: skip
        self.written_at = time.monotonic()
        write_json(self.folder / FILE, asdict(total))

    def now_and_then(self) -> None:
        """Write it when a minute has gone by."""
        if time.monotonic() - self.written_at >= EVERY_SECONDS:
            self.keep()


def usage_of(folder: Path) -> Usage | None:
    """What all starts of a run have used; None where nothing was kept."""
    try:
        return Usage(**json.loads((folder / FILE).read_text()))
    except (OSError, ValueError, TypeError):
        return None
