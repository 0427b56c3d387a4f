"""Which process is at a run, and whether it still is. No torch."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import psutil

# Clocks of two programs on one machine agree to this many seconds.
CLOCKS_AGREE = 2.0


def moment() -> str:
    """Now, in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def seconds_of(text: object) -> float | None:
    """A moment as seconds since 1970; None for what is none."""
    try:
        return datetime.fromisoformat(str(text)).timestamp()
    except ValueError:
        return None


def this_process() -> dict[str, Any]:
    """Who this is, for `run.json`: machine, process id, and since when."""
    return {"host": socket.gethostname(), "pid": os.getpid(), "since": moment()}


def alive(process: object) -> bool | None:
    """Whether the process that `this_process` described still runs; None where that cannot be asked from here.

    An id that was given to another process since is seen by when that one began.
    """
    if not isinstance(process, Mapping) or process.get("host") != socket.gethostname():
        return None
    since = seconds_of(process.get("since"))
    try:
        found = psutil.Process(int(process["pid"]))
        return found.status() != psutil.STATUS_ZOMBIE and (since is None or found.create_time() <= since + CLOCKS_AGREE)
    except psutil.AccessDenied:
        return None
    except (psutil.Error, KeyError, TypeError, ValueError):
        return False
