"""Runs the pocket recipes over seeds and prints what came out: `python -m bench.seeds --seeds 1 2 3`.

By default the whole of `recipes/quickstart.toml` (accuracy at the base and after RL), and of the four warm starts the
policy entropy at RL entry, for which one step of RL is enough.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from statistics import fmean
from typing import Any

RECIPES = Path(__file__).parent.parent / "recipes"
ARMS = ("opd_then_grpo", "sft_then_grpo", "sft_teacher_then_grpo", "sft_overtrained_then_grpo")
SHORT = ["stage.rl.steps=1", 'eval.at=["base", "warm"]']


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--what", choices=["accuracy", "entropy", "both"], default="both")
    chosen = parser.parse_args()
    if chosen.what != "entropy":
        print("| seed | accuracy at base | after RL | points up, 95 % interval over problems |\n|---|---|---|---|")
        for seed in chosen.seeds:
            print(accuracy_row(seed), flush=True)
    if chosen.what != "accuracy":
        print("\n| warm start | entropy at RL entry, by seed | mean | spread (max - min) |\n|---|---|---|---|")
        for arm in ARMS:
            print(entropy_row(arm, chosen.seeds), flush=True)


def accuracy_row(seed: int) -> str:
    """One whole quick start."""
    report = run("quickstart", [f"seed={seed}"])
    found = next(
        row
        for row in report["contrasts"]
        if (row["from"], row["to"], row["suite"], row["metric"]) == ("base", "rl", "validation", "accuracy")
    )
    low, high = 100 * found["low"], 100 * found["high"]
    up, first, second = 100 * found["difference"], found["first"], found["second"]
    return f"| {seed} | {first:.3f} | {second:.3f} | {up:+.1f} [{low:.1f}, {high:.1f}] |"


def entropy_row(arm: str, seeds: list[int]) -> str:
    """One warm start over the seeds."""
    found = [endpoint(run(arm, [f"seed={seed}", *SHORT]), "warm", "entropy") for seed in seeds]
    each = ", ".join(f"{value:.3f}" for value in found)
    return f"| {arm.removesuffix('_then_grpo')} | {each} | {fmean(found):.3f} | {max(found) - min(found):.3f} |"


def run(recipe: str, sets: list[str]) -> dict[str, Any]:
    """Run a recipe; returns its report."""
    flags = [flag for one in sets for flag in ("--set", one)]
    command = [sys.executable, "-m", "warmrl", "run", str(RECIPES / f"{recipe}.toml"), "--json", *flags]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    folder = Path(json.loads(done.stdout.splitlines()[-1])["run"])
    return json.loads((folder / "report.json").read_text())


def endpoint(report: dict[str, Any], checkpoint: str, metric: str) -> float:
    """A score on validation."""
    rows = report["endpoints"]
    return next(
        one["value"]
        for one in rows
        if (one["checkpoint"], one["suite"], one["metric"]) == (checkpoint, "validation", metric)
    )


if __name__ == "__main__":
    main()
