"""SIGTERM and SIGINT: the first asks the run to stop at the next border, the second ends the process at once."""

from __future__ import annotations

import signal
from types import FrameType


class Stopping:
    """Listens from construction on; called, it gives the signal that came, or 0."""

    def __init__(self) -> None:
        self.signal = 0
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._came)

    def __call__(self) -> int:
        return self.signal

    def _came(self, number: int, _frame: FrameType | None) -> None:
        self.signal = number
        for one in (signal.SIGTERM, signal.SIGINT):
            signal.signal(one, signal.SIG_DFL)
