"""SIGTERM and SIGINT: the first asks the run to stop at the next border, a later one ends the process at once.

One that comes right after the first is the same wish: `timeout`, `scancel` and a terminal tell a whole group of
processes, and a parent passes on what it was told.
"""

from __future__ import annotations

import os
import signal
import time
from types import FrameType

# Seconds after the first signal in which another is taken for the same one.
SAME_SECONDS = 2.0


class Stopping:
    """Listens from construction on; called, it gives the first signal that came, or 0."""

    def __init__(self) -> None:
        self.signal = 0
        self.came_at = 0.0
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._came)

    def __call__(self) -> int:
        return self.signal

    def _came(self, number: int, _frame: FrameType | None) -> None:
        if not self.signal:
            self.signal, self.came_at = number, time.monotonic()
        elif time.monotonic() - self.came_at > SAME_SECONDS:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
