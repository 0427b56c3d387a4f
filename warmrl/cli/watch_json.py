"""What `warmrl watch --json` prints: a run or a study at one moment, as plain values."""

from __future__ import annotations

from typing import Any

from warmrl.cli.watch_view import ending, extremes
from warmrl.engine.following import Run
from warmrl.engine.following_study import Study


def described(found: Run | Study) -> dict[str, Any]:
    """A run or study now."""
    about: dict[str, Any] = {"name": found.name, "folder": str(found.folder), "state": found.state}
    about |= {"quiet_seconds": round(found.quiet(), 1), "sentence": ending(found)}
    if isinstance(found, Study):
        cells = [
            {"arm": c.arm, "seed": c.seed, "state": c.state, "error": c.error, **of_run(c.run)} for c in found.cells
        ]
        return {"kind": "study", **about, "cells": cells}
    return {"kind": "run", **about, **of_run(found), "rollouts": extremes(found)}


def of_run(run: Run) -> dict[str, Any]:
    """How far a run is: `row` is the newest of `metrics.jsonl`."""
    stage = run.stage
    return {
        "stage": stage.name if stage else None,
        "stages": [vars(one) for one in run.stages],
        "doing": run.doing,
        "row": run.journals.row if run.journals else {},
        "seconds_left_of_stage": run.left,
    }
