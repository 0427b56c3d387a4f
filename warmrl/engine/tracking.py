"""Experiment trackers, through accelerate: every row of metrics, by stage and step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from warmrl.domain.errors import UsageError


class Tracker:
    """Logs rows to one of accelerate's trackers; to nothing when no name is given."""

    def __init__(self, name: str | None, folder: Path) -> None:
        self.name = name
        self.folder = folder
        self._tracker: Any = None
        self._step = 0

    def __enter__(self) -> Tracker | None:
        if self.name is None:
            return None
        self._open()
        return self

    def __exit__(self, *_: object) -> None:
        if self._tracker is not None:
            self._tracker.finish()

    def __call__(self, row: dict[str, Any]) -> None:
        """Log one row; the step counts through all stages."""
        self._step += 1
        numbers = {f"{row['stage']}/{name}": value for name, value in row.items() if name not in ("stage", "step")}
        self._tracker.log(numbers, step=self._step)

    def _open(self) -> None:
        from accelerate.tracking import LOGGER_TYPE_TO_CLASS

        known = LOGGER_TYPE_TO_CLASS
        if self.name not in known:
            raise UsageError(f"`--tracker {self.name}`: accelerate knows {', '.join(sorted(known))}.")
        kind = known[self.name]
        try:
            where = {"logging_dir": self.folder / "trackers"} if kind.requires_logging_directory else {}
            self._tracker = kind(self.folder.name, **where)
            if hasattr(self._tracker, "start"):
                self._tracker.start()
        except (ImportError, ModuleNotFoundError) as error:
            raise UsageError(
                f"`--tracker {self.name}` needs its package ({error}); install it and run again."
            ) from None
