"""Run folders, studies and stores as files alone, for tests of what looks at them: nothing is trained."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from warmrl.engine.run_process import moment, this_process


def write(file: Path, value: Any) -> Path:
    """A JSON file, and the folders that it is in."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(value))
    return file


def add(file: Path, *rows: Mapping[str, Any]) -> None:
    """Rows at the end of a journal."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as stream:
        stream.writelines(json.dumps(row) + "\n" for row in rows)


def entry(home: Path, key: str, steps: Sequence[int] = (), size: int = 1000) -> Path:
    """An entry of the store, with policies between its steps."""
    folder = home / "store" / key
    for name in ("policy", *(f"policies/step-{step:06d}" for step in steps)):
        (folder / name).mkdir(parents=True)
        (folder / name / "model.safetensors").write_bytes(b"w" * size)
    write(folder / "done.json", {"steps": 40, "seconds": 1.0})
    return folder


def run(
    home: Path, folder: str, stages: Mapping[str, str], state: str = "finished", extra: Sequence[str] = (), **more: Any
) -> Path:
    """A run whose stages are these entries of the store (`extra`: others that it refers to)."""
    here = home / folder
    up = "../" * len(Path(folder).parts) + "store/"
    own = {name: {"key": key, "store": up + key, "reused": False} for name, key in stages.items()}
    entries = [up + one for one in (*stages.values(), *extra)]
    about = {"name": here.name, "state": state, "stages": own, "entries": entries, "order": list(stages)}
    write(here / "run.json", about | {"started": moment(), "process": this_process()} | more)
    write(here / "recipe.resolved.json", {"stage": {name: {"use": "grpo", "steps": 40} for name in stages}})
    return here


def at_work(home: Path, folder: str = "one", key: str = "rl-key", steps: int = 4, **more: Any) -> Path:
    """A run in its stage `rl`, after some steps of 40; this process is at it."""
    now = {"stage": "rl", "store": "../" * len(Path(folder).parts) + f"store/{key}"}
    here = run(home, folder, {}, "running", [key], now=now, **({"order": ["warm", "rl"]} | more))
    write(here / "recipe.resolved.json", {"stage": {"rl": {"use": "grpo", "steps": 40}, "warm": {"use": "sft"}}})
    for step in range(1, steps + 1):
        one_step(home / "store" / key, step)
    return here


def one_step(folder: Path, step: int, texts: Sequence[tuple[str, float, str]] = ()) -> None:
    """What a stage writes of one step."""
    made = [{"text": text, "reward": reward, "finish": finish} for text, reward, finish in texts]
    add(folder / "rollouts.jsonl", {"step": step, "problem": f"p{step}", "gold": "7", "completions": made})
    add(folder / "timings.jsonl", {"stage": "rl", "step": step, "steps": 40, "train": 2.0, "tokens_per_second": 9.0})
    row = {"stage": "rl", "step": step, "loss": 1 / step, "entropy": 0.5, "reward": 0.1 * step, "length": 20.0}
    add(folder / "metrics.jsonl", row | {"truncated": 0.25})


def study(home: Path, cells: Sequence[tuple[str, int, str]], state: str = "running", name: str = "many") -> Path:
    """A study with these cells (arm, seed, state); runs of its cells are made apart."""
    rows = [
        {"arm": arm, "seed": seed, "folder": f"{arm}/seed-{seed}", "state": said, "error": None}
        for arm, seed, said in cells
    ]
    write(home / name / "study.json", {"name": name, "state": state, "cells": rows})
    return home / name
