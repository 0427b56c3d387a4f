"""Time and memory of a study from what its parts take: by operations where the device's peak is known, or measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import psutil

from warmrl.domain.stages import MethodConfig
from warmrl.engine.budget import problems_of, steps_of
from warmrl.engine.entries import Entries
from warmrl.engine.forecast.machines import Machine
from warmrl.engine.forecast.resources import Asked, Resources
from warmrl.engine.forecast.speeds import Speed, Speeds, measurable, measured
from warmrl.engine.recipe_rules import stage_config


@dataclass
class Costs:
    """What each part of a cell takes: (seconds by the clock, seconds of processors), None where nothing tells."""

    entries: Entries
    resources: Resources
    report: Mapping[str, Any]
    speeds: Speeds

    @cached_property
    def here(self) -> bool:
        """Whether results can be looked up."""
        return self.entries.can_tell()

    def stage(self, name: str) -> tuple[float | None, float | None]:
        """A stage."""
        config = stage_config(self.entries.file.recipe.stage[name])
        speed = self.speeds.of_stage(self.entries, name) if self.here else None
        if speed is not None:
            problems = problems_of(self.entries, name)[0]
            many = steps_of(config, problems) if isinstance(config, MethodConfig) else problems
            return speed.seconds(many), speed.cpu_seconds(many)
        planned = self.report["stages"].get(name)  # none of a curator, which is said, and of a stage without training
        return (planned["seconds"] if planned else 0.0), None

    def asked(self) -> dict[str, Asked]:
        """The evaluations of a cell."""
        return self.resources.asked()

    def answers(self, label: str) -> tuple[float | None, float | None]:
        """One checkpoint's answers."""
        asked = self.asked()[label]
        speed = self.speeds.of_answers(self.entries, asked.suite) if self.here else None
        if speed is not None:
            many = len(self.entries.suite(asked.suite).problems) * self.entries.answers_each(
                asked.metrics, asked.samples
            )
            return speed.seconds(many), speed.cpu_seconds(many)
        planned = self.report["evaluations"].get(label)
        return (planned["seconds"] if planned else None), None

    def of_run(self) -> Speed | None:
        """What a run takes beside stages and evaluations."""
        return self.speeds.of_run()


def whole_study(
    cells: Sequence[Mapping[str, Any]],
    reports: Mapping[str, Mapping[str, Any]],
    speeds: Speeds,
    here: Machine,
    jobs: int,
    seeds: int,
) -> dict[str, Any]:
    """Seconds, memory of a process, tokens that the policies train on and write, bytes on the disk; None: unknown."""
    totals: dict[str, Any] = {}
    for name in ("seconds", "cpu_seconds"):
        each = [one[name] for one in cells]
        totals[name] = None if None in each else sum(each)
    planned = [
        one for report in reports.values() for kind in ("stages", "evaluations") for one in report[kind].values()
    ]
    tensors = max((one["peak"] for one in planned), default=0)
    process = own_memory() if here.peak is None and not here.fused_update else 0
    clock = totals["seconds"]
    return totals | {
        "seconds_of_jobs": None if clock is None else clock / min(jobs, max(len(cells), 1)),
        "peak_bytes": (speeds.peak_bytes or tensors + process) + kept_prompts(reports),
        "tensor_bytes": tensors,
        "tokens": seeds * sum(
            one["steps"] * one["tokens_per_step"] for report in reports.values() for one in report["stages"].values()
        ),
        "disk": {
            name: sum(report["disk"][name] * (1 if name == "checkpoints" else seeds) for report in reports.values())
            for name in ("checkpoints", "policies", "samples")
        },
    }  # fmt: skip


def with_speeds(resources: Resources, report: dict[str, Any], measure: bool | None) -> dict[str, Any]:
    """One recipe's report with times that were measured, where the device's peak says nothing."""
    here, entries = resources.machine, resources.entries
    if here.peak is not None or not (report["stages"] or report["evaluations"]):
        return report
    try_now = measurable(entries, report["stages"]) if measure is None else measure
    speeds = measured([entries], entries.store) if try_now else Speeds()
    if not speeds.known:
        return report
    costs = Costs(entries, resources, report, speeds)
    stages = {name: one | {"seconds": costs.stage(name)[0]} for name, one in report["stages"].items()}
    suites = {name: one | {"seconds": costs.answers(name)[0]} for name, one in report["evaluations"].items()}
    curated = [costs.stage(name)[0] for name in entries.order() if name not in stages and not resources.is_there(name)]
    times = [one["seconds"] for one in stages.values()] + curated
    times += [one["seconds"] and one["points"] * one["seconds"] for one in suites.values()]
    run = costs.of_run()
    return report | {
        "stages": stages,
        "evaluations": suites,
        "seconds": None if None in times or run is None else sum(times) + run.once,
        "process_bytes": speeds.peak_bytes + kept_prompts({"": report}),
        "assumptions": assumptions({"": report}, speeds, here, 1),
    }


def kept_prompts(reports: Mapping[str, Mapping[str, Any]]) -> int:
    """Host memory of the encoded prompts that the largest stage keeps; a few steps show few of them."""
    return max((one["prompt_bytes"] for report in reports.values() for one in report["stages"].values()), default=0)


def own_memory() -> int:
    """What this process takes, interpreter and libraries, with no weights loaded: what any run's process takes."""
    return int(psutil.Process().memory_info().rss)


def assumptions(reports: Mapping[str, Mapping[str, Any]], speeds: Speeds, here: Machine, jobs: int) -> list[str]:
    """What the numbers stand on."""
    own = list(dict.fromkeys(why for one in reports.values() for why in one["assumptions"]))
    if here.peak is None and speeds.known:
        own = [one for one in own if not one.startswith("time is not estimated")]
        own.append(
            "time and memory were measured: a process ran a few steps of each distinct stage and a block of each suite "
            "on this machine; longer completions of a later policy, and other work beside it, change them."
        )
    elif here.peak is None:
        own.append("memory: what an idle process takes is counted with the tensors.")
    if jobs > 1:
        own.append(f"{jobs} cells side by side take as long each as one alone, on processors of their own.")
    unknown = (why for one in reports.values() for why in one["unknown"])
    return [*own, *dict.fromkeys(unknown), *speeds.reasons]
