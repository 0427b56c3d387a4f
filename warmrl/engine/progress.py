"""What the engine tells whoever watches; the command line shows it, tests may listen."""

from __future__ import annotations

from typing import Any


class Progress:
    """Does nothing with what it hears; override what you want to show."""

    def stage_started(self, name: str, use: str, steps: int) -> None:
        """A stage begins; it has so many steps (0: it counts none)."""

    def step(self, row: dict[str, Any], timing: dict[str, Any]) -> None:
        """A step was logged; `timing` has its seconds by phase and the tokens per second."""

    def stage_finished(self, name: str, reused: bool) -> None:
        """A stage's output is complete."""

    def evaluating(self, checkpoint: str, suite: str, done: int, total: int) -> None:
        """`done` of `total` blocks of an evaluation are finished."""

    def say(self, sentence: str) -> None:
        """Something worth a line."""
