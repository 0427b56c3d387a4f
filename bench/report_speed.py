"""How long a large comparison takes: python -m bench.report_speed (2 000 problems, 16 samples, 6 targets, all pairs).

Prints seconds on the clock and of the processor for the numbers and for the files, and the peak memory of the process.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path

from bench.simulated_targets import comparison
from warmrl.report.comparison import build
from warmrl.report.output import write


def measured(problems: int, targets: int, draws: int) -> dict[str, float]:
    """Clock and processor seconds of building and writing, and peak memory in MiB before and after."""
    skills = {f"target {place}": -0.3 + 0.15 * place for place in range(targets)}
    given = comparison(skills, {"suite": (0.0, problems)}, draws=draws)
    before = memory()
    found: dict[str, float] = {}
    clock, processor = time.perf_counter(), time.process_time()
    report = build(given)
    found["build, s"], found["build, processor s"] = time.perf_counter() - clock, time.process_time() - processor
    with tempfile.TemporaryDirectory() as folder:
        write(report, Path(folder))
    found["whole, s"], found["whole, processor s"] = time.perf_counter() - clock, time.process_time() - processor
    return {key: round(value, 2) for key, value in found.items()} | {"peak before, MiB": before, "peak, MiB": memory()}


def memory() -> int:
    """Peak resident memory of this process, MiB."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def main() -> None:
    """Measure once, after the imports, and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--problems", type=int, default=2000)
    parser.add_argument("--targets", type=int, default=6)
    parser.add_argument("--draws", type=int, default=10_000)
    print(json.dumps(measured(**vars(parser.parse_args()))))


if __name__ == "__main__":
    main()
