"""Where runs go, and what a run folder may not already hold. Cheap to import: used before anything heavy is."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from warmrl.domain.errors import UsageError

RUN_FILE = "run.json"
STUDY_FILE = "study.json"


def home() -> Path:
    """Where runs and the store are: `$WARMRL_HOME`, or `./runs`."""
    return Path(os.environ.get("WARMRL_HOME") or "runs")


def known_run(folder: Path) -> dict[str, Any]:
    """What a run folder's `run.json` says, or nothing."""
    try:
        known = json.loads((folder / RUN_FILE).read_text())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def claim(folder: Path, name: str) -> None:
    """Refuse a folder that holds something else. Raises `UsageError`."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UsageError(f"{folder} is a file; a run needs a folder. Choose another with `--out`.")
    known = known_run(folder)
    if known and known.get("name") != name:
        raise UsageError(
            f"{folder} holds a run of the recipe `{known.get('name')}`, and this is `{name}`; nothing was touched. "
            "Choose another folder with `--out`."
        )
    # A start that was killed, or refused after its tracker was opened, may have left these alone.
    ours = (one.name == "trackers" or one.name.startswith(".tmp-") for one in folder.iterdir())
    if not known and not all(ours):
        raise UsageError(
            f"{folder} holds files that are no warmrl run; nothing was touched. Choose another with `--out`."
        )


def run_files() -> list[Path]:
    """Every `run.json` of the default folder: of runs, of evaluations and comparisons, and of the cells of studies."""
    return sorted(home().glob(f"*/{RUN_FILE}")) + sorted(home().glob(f"*/*/seed-*/{RUN_FILE}"))


def newest_run() -> Path:
    """The run of the default folder (or cell of a study) that finished last. Raises `UsageError` when there is none."""
    known = {file: known_run(file.parent) for file in run_files()}
    runs = [file for file, one in known.items() if one.get("state") == "finished" and "targets" not in one]
    if not runs:
        raise UsageError(f"{home()} holds no finished run; give a run folder, or set WARMRL_HOME.")
    return max(runs, key=lambda file: file.stat().st_mtime).parent
