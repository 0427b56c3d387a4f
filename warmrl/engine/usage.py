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


def keep_usage(folder: Path, before: Usage | None) -> None:
    """Add what this start of a run has used to what earlier starts did (`usage.json` in the run folder).

    `before`: what the process had used when the run began, where it did other things first.
    """
    now = Usage.now()
    own = now if before is None else now.since(before)
    old = usage_of(folder)
    total = Usage(
        old.seconds + own.seconds, old.cpu_seconds + own.cpu_seconds, max(old.peak_bytes, own.peak_bytes)
    ) if old else own  # fmt: skip
    write_json(folder / FILE, asdict(total))


def usage_of(folder: Path) -> Usage | None:
    """What all starts of a run have used; None where nothing was kept."""
    try:
        return Usage(**json.loads((folder / FILE).read_text()))
    except (OSError, ValueError, TypeError):
        return None
