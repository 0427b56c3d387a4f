"""Runs the command line on a small recipe, as a user would, and says what came of it."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from warmrl.testing.command import Command


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    code: int
    out: str
    err: str

    def assert_success(self) -> None:
        """Fail with what the command said unless it ended with 0."""
        assert self.code == 0, f"exit code {self.code}\n{self.out}\n{self.err}"

    @property
    def last(self) -> dict[str, Any]:
        """The object on the last line (`--json`)."""
        found = json.loads(self.out.strip().splitlines()[-1])
        assert isinstance(found, dict)
        return found


def environment(folder: Path) -> dict[str, str]:
    """The environment of a command: this process's import path, a store of its own, one thread, no network."""
    path = os.pathsep.join(one for one in sys.path if one)
    own = {"PYTHONPATH": path, "WARMRL_HOME": str(folder / "home")}
    return {**os.environ, **own, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


def start(*arguments: str, folder: Path, **more: str) -> Command:
    """Start `warmrl ARGUMENTS` in `folder`, without waiting for it; `more` is laid over its environment."""
    return Command(*arguments, folder=folder, environment=environment(folder) | more)


def warmrl(*arguments: str, folder: Path, seconds: float = 300.0) -> Outcome:
    """Run `warmrl ARGUMENTS` in `folder` to its end."""
    process = start(*arguments, folder=folder)
    try:
        out, err = process.communicate(timeout=seconds)
    finally:
        process.kill()
    assert process.returncode is not None  # it has ended
    return Outcome(process.returncode, out, err)


def write_recipe(folder: Path, **tables: Any) -> Path:
    """A recipe on the pocket, small enough for seconds, with `tables` laid over it; written as JSON."""
    recipe = {
        "version": 1,
        "name": "contract",
        "model": {"path": "pocket:base"},
        "answer": {"use": "tags", "instruction": ""},
        "data": {"train": {"use": "pocket_geometry", "split": "train", "limit": 8}},
        "reward": {"math": {"use": "math"}},
        "sampler": {"use": "transformers"},
        "grader": {"use": "math"},
        "stage": {},
        "suite": {"validation": {"use": "pocket_geometry", "split": "validation", "limit": 2}},
        "eval": {"metrics": ["accuracy"], "samples": 1, "max_tokens": 16},
        **tables,
    }
    file = folder / "contract.json"
    file.write_text(json.dumps(recipe))
    return file


def results(folder: Path) -> dict[str, bytes]:
    """Every file of a run in `folder` and of its store that a repeated or resumed run must give byte for byte."""
    kept = [file for name in ("*.safetensors", "metrics.jsonl", "ledger.jsonl") for file in folder.rglob(name)]
    found = {str(file.relative_to(folder)): file.read_bytes() for file in kept}
    return {name: data for name, data in found.items() if "checkpoint" not in name}
