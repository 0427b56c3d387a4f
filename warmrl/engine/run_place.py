"""Where runs go, and what a run folder may not already hold. Cheap to import: used before anything heavy is."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from warmrl.domain.errors import UsageError

RUN_FILE = "run.json"
STUDY_FILE = "study.json"
# A study as one table without a parent, `--set` applied: what its cells run, and what `warmrl report` reads.
MERGED = "recipe.merged.json"
# What was known of a study before anything was spent: fairness, estimates, what its cells had used.
PLAN = "plan.json"
# What a cell of a study says, in its own run folder.
LOG = "log.txt"


def home() -> Path:
    """Where runs and the store are: `$WARMRL_HOME`, or `./runs`."""
    return Path(os.environ.get("WARMRL_HOME") or "runs")


def named(run: str | Path) -> Path:
    """The folder of a run or study that is given by its path, or as `warmrl runs list` names it."""
    there = Path(run)
    return home() / there if not there.exists() and (home() / there).is_dir() else there


def known_run(folder: Path) -> dict[str, Any]:
    """What a run folder's `run.json` says, or nothing."""
    return object_in(folder / RUN_FILE)


def known_study(folder: Path) -> dict[str, Any]:
    """What a study folder's `study.json` says; nothing where it is not there, or is not what warmrl writes.

    It is an index: whoever goes on with the study makes it again from the cells' `run.json`.
    """
    found = object_in(folder / STUDY_FILE)
    cells = found.get("cells")
    rows = isinstance(cells, list) and all(map(is_row, cells))
    return found if rows and all(isinstance(found.get(one), str) for one in ("name", "state")) else {}


def is_row(row: object) -> bool:
    """Whether this is what `study.json` says of a cell."""
    if not isinstance(row, dict) or not isinstance(row.get("seed"), int):
        return False
    return all(isinstance(row.get(one), str) for one in ("arm", "folder", "state"))


def damaged_study(folder: Path) -> bool:
    """Whether a `study.json` is there that cannot be used."""
    return (folder / STUDY_FILE).exists() and not known_study(folder)


def object_in(file: Path) -> dict[str, Any]:
    """The JSON object of a file, or nothing."""
    try:
        found = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def claim(folder: Path, name: str, *, study: bool = False) -> None:
    """Refuse a folder that holds something else. Raises `UsageError`."""
    if not folder.exists():
        return
    kind = "study" if study else "run"
    if not folder.is_dir():
        raise UsageError(f"{folder} is a file; a {kind} needs a folder. Choose another with `--out`.")
    studied = known_study(folder) or object_in(folder / MERGED)  # the index may be damaged, or gone
    own, other = (studied, known_run(folder)) if study else (known_run(folder), studied)
    if other:
        raise UsageError(
            f"{folder} holds a {'run of the recipe' if study else 'study,'} `{other.get('name')}`, and this is a "
            f"{kind}; nothing was touched. Choose another folder with `--out`."
        )
    if own and own.get("name") != name:
        raise UsageError(
            f"{folder} holds {'the study' if study else 'a run of the recipe'} `{own.get('name')}`, and this is "
            f"`{name}`; nothing was touched. Choose another folder with `--out`."
        )
    # A start that was killed, or refused after its tracker was opened, may have left these alone; a damaged index of
    # cells that are not there is nothing.
    known = ("trackers", LOG, STUDY_FILE) if study else ("trackers", LOG)
    left = (one.name in known or one.name.startswith((".tmp-", ".lock")) for one in folder.iterdir())
    if not own and not all(left):
        raise UsageError(
            f"{folder} holds files that are no warmrl {kind}; nothing was touched. Choose another with `--out`."
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
