"""Kill a study with -9 at random moments, go on, and compare what it made with an uninterrupted study's, byte by byte.

    python -m bench.study_kill STUDY.toml [--kills 10] [--draw 0] [--jobs 1] [--set K=V ...] [--keep FOLDER]

The study runs twice from nothing, each with a store of its own: once to its end, then again with that many kills of
the process that runs it (its cells get a signal from the kernel). Compared are every cell's journals, samples, scores,
probes and policies, the sample browser, and the study's report (numbers, page, Markdown) with its `timings` taken out.
Exit code 1 when anything differs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

COMPARED = (
    "metrics.jsonl", "ledger.jsonl", "rollouts.jsonl", "evaluations/*/samples.jsonl", "evaluations/*/scores.json",
    "probes/*.json", "stages/*/policy/model.safetensors",
)  # fmt: skip
TIMINGS = re.compile(r"<!-- timings -->.*?<!-- /timings -->", re.DOTALL)


def start(home: Path, options: argparse.Namespace) -> subprocess.Popen[bytes]:
    """The study's command."""
    sets = [word for one in options.set for word in ("--set", one)]
    command = [sys.executable, "-m", "warmrl", "run", options.study, "--jobs", str(options.jobs), "--out"]
    with (home / "said.txt").open("ab") as said:
        return subprocess.Popen(
            [*command, str(home / "study"), *sets],
            env=os.environ | {"WARMRL_HOME": str(home / "home")},
            stdout=said,
            stderr=said,
            start_new_session=True,
        )


def whole(home: Path, options: argparse.Namespace) -> float:
    """Run the study to its end; the seconds that it took."""
    began = time.monotonic()
    if code := start(home, options).wait():
        raise SystemExit(f"the study ended with {code}; see {home / 'said.txt'}")
    return time.monotonic() - began


def hashed(content: bytes) -> str:
    """What stands for a file's bytes."""
    return hashlib.sha256(content).hexdigest()


def digests(study: Path) -> dict[str, str]:
    """What must be the same bytes, by file."""
    cells = [file.parent for file in sorted(study.glob("*/*/run.json"))]
    files = {str(file.relative_to(study)): file for cell in cells for name in COMPARED for file in cell.glob(name)}
    found = {name: hashed(file.read_bytes()) for name, file in files.items()}
    if (study / "report.json").exists():
        report = json.loads((study / "report.json").read_text())
        report.pop("timings", None)
        texts = {"report.json": json.dumps(report, sort_keys=True)}
        texts |= {name: TIMINGS.sub("", (study / name).read_text()) for name in ("report.html", "report.md")}
        found |= {f"browser/{file.name}": hashed(file.read_bytes()) for file in sorted(study.glob("browser/*"))}
        found |= {name: hashed(text.encode()) for name, text in texts.items()}
    return found


def killed(home: Path, options: argparse.Namespace, seconds: float) -> int:
    """Run the study with kills, each at a random moment of what an uninterrupted study takes; how many found it."""
    draw, hit = random.Random(options.draw), 0
    for number in range(options.kills):
        process, moment = start(home, options), draw.uniform(0.0, seconds / 2)
        try:
            process.wait(moment)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            hit += 1
        print(f"kill {number + 1} after {moment:.1f} s", flush=True)
    whole(home, options)
    return hit


def main() -> None:
    """Run both, compare, say what differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--draw", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--keep", type=Path, default=None)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="warmrl-study-kill-") as aside:
        homes = [(options.keep or Path(aside)) / name for name in ("uninterrupted", "killed")]
        for home in homes:
            home.mkdir(parents=True)
        seconds = whole(homes[0], options)
        hit = killed(homes[1], options, seconds)
        one, other = (digests(home / "study") for home in homes)
    differing = sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))
    same = len(one.keys() | other.keys()) - len(differing)
    print(
        f"{hit} of {options.kills} kills found the study at work ({seconds:.0f} s uninterrupted); {same} files are the"
    )
    print(f"same bytes, {len(differing)} differ: {', '.join(differing) or 'none'}")
    sys.exit(bool(differing or not one))


if __name__ == "__main__":
    main()
