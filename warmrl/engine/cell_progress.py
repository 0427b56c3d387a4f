"""How far a run is, read from its folder while another process is at it. No torch."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from warmrl.engine.run_place import known_run, object_in

# The last row of a journal is within so many bytes of its end.
TAIL_BYTES = 2**16


@dataclass(frozen=True)
class Place:
    """Where a run is: the stage that is being made, and the newest row of its journal (empty before the first)."""

    stage: str
    use: str
    step: int
    steps: int
    """Steps of the stage; 0 where its settings do not say it."""
    row: dict[str, Any] = field(default_factory=dict)


def place_of(run: Path) -> Place | None:
    """Where a run is; None before its first stage, between stages, and at its end."""
    for entry in known_run(run).get("entries", []):
        folder = run / entry
        about = object_in(folder / "key.json")
        if about and not (folder / "done.json").exists():
            row = newest_row(folder / "metrics.jsonl")
            steps = about.get("settings", {}).get("steps") or 0
            return Place(about["stage"], about["use"], row.get("step", 0), steps, row)
    return None


def newest_row(journal: Path) -> dict[str, Any]:
    """The last whole row of a journal, or nothing."""
    try:
        with journal.open("rb") as stream:
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - TAIL_BYTES))
            lines = stream.read().split(b"\n")[:-1]
        row = json.loads(lines[-1])
    except (OSError, ValueError, IndexError):
        return {}
    return row if isinstance(row, dict) else {}
