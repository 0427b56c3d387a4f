"""A run folder: the recipe, what its stages made (by reference into the store), and the report."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from warmrl.domain.errors import Interrupted, WarmrlError
from warmrl.domain.handoff import LOSS
from warmrl.domain.names import CheckpointName
from warmrl.engine.contamination import contamination
from warmrl.engine.entries import Entries
from warmrl.engine.handoff import HANDOFF, candidates, choice, keep_choice, loss_metric, losses_folder, rule_of
from warmrl.engine.journal import Journal
from warmrl.engine.launch import local_processes
from warmrl.engine.probes import PROBES, probed
from warmrl.engine.run_place import RUN_FILE, known_run, object_in
from warmrl.engine.run_process import moment, this_process
from warmrl.engine.samples import DESCRIPTION, Draws
from warmrl.engine.scores import record, rows
from warmrl.engine.storage import write_json, write_text
from warmrl.engine.suites import Suite
from warmrl.plugin.registry import Registry

RESOLVED = "recipe.resolved.json"
SAMPLES = "samples.jsonl"
PACKAGES = ("warmrl", "torch", "transformers", "accelerate", "numpy", "scipy", "pydantic")
# Journals of stages that the run folder shows as one file each.
JOINED = ("metrics.jsonl", "timings.jsonl", "rollouts.jsonl", "ledger.jsonl")


@dataclass
class RunFolder:
    """One run's folder."""

    path: Path
    tracker: Any = None
    whose: dict[str, Any] = field(default_factory=dict)
    """When the run was first started, and the process that is at it; empty where this is no run of a recipe."""
    now: dict[str, Any] = field(default_factory=dict)
    """What is being made, for who looks on."""

    def begin(self, entries: Entries) -> None:
        """Write the recipe as it is, resolved, and the environment."""
        known = known_run(self.path)
        self.before = known.get("stages", {})
        self.whose = {"started": known.get("started") or moment(), "process": this_process()}
        self.record(entries, "running", self.before)
        file = entries.file.path
        if file.resolve() != (self.path / RESOLVED).resolve():  # `warmrl eval` reads it there
            write_text(self.path / ("recipe.json" if file.suffix == ".json" else "recipe.toml"), entries.file.text)
        write_json(self.path / RESOLVED, resolved(entries))
        # A start that makes nothing keeps the devices that things were made on.
        made_on = {name: one for name, one in object_in(self.path / "environment.json").items() if name == "devices"}
        write_json(self.path / "environment.json", environment(entries.file.recipe.launch.sharding) | made_on)
        self.stages: dict[str, Any] = {}
        self.handoffs: dict[str, Any] = {}
        self.probes: list[dict[str, Any]] = []
        for stale in (self.path / PROBES).glob("*.json"):  # of a recipe that was another
            stale.unlink()

    def note(self, more: dict[str, Any]) -> None:
        """Add to the environment what is only known once everything is loaded."""
        file = self.path / "environment.json"
        write_json(file, (json.loads(file.read_text()) if file.exists() else {}) | more)

    def record(self, entries: Entries, state: str, stages: dict[str, Any]) -> None:
        """Write `run.json`: how far the run is, and every store entry that is its own (`warmrl runs prune` asks)."""
        own = [os.path.relpath(folder, self.path) for folder in entries.folders()]
        about = {"name": entries.file.recipe.name, "state": state, "stages": stages, "entries": own}
        clocks = {"now": self.now} if state == "running" else {"ended": moment()}
        write_json(self.path / RUN_FILE, about | {"order": entries.order()} | self.whose | clocks)

    def broke_off(self, error: Exception) -> None:
        """Write down that the run ended before its end, and why; one that a hand-off rule stopped stays `stopped`."""
        about, state = known_run(self.path), "stopped" if isinstance(error, Interrupted) else "failed"
        why = str(error) if isinstance(error, WarmrlError) else f"{type(error).__name__}: {error}"
        if self.whose and about.get("process") == self.whose["process"]:
            state = state if about["state"] == "running" else about["state"]
            with suppress(OSError, WarmrlError):  # what went wrong may be the disk: that is what has to be said
                write_json(self.path / RUN_FILE, about | {"state": state, "error": why, "ended": moment()})

    def doing(self, entries: Entries, folder: Path | None = None, **what: Any) -> None:
        """Write down what is being made, and in which entry of the store (`warmrl watch` looks there)."""
        if self.whose:
            self.now = what | ({"store": os.path.relpath(folder, self.path)} if folder else {})
            self.record(entries, "running", {**self.before, **self.stages})

    def describe(self, entries: Entries) -> dict[str, Any]:
        """What observers are told."""
        return {"name": entries.file.recipe.name, "folder": str(self.path), "recipe": resolved(entries)}

    def reason(self, entries: Entries, stage: str, why: str) -> str:
        """Why a stage runs: what changed since this folder's last run of it, if that is known."""
        before = known_run(self.path).get("stages", {}).get(stage)
        if why != "it is new" or not before or before["key"] == entries.stage_key(stage):
            return why
        try:
            old = json.loads((self.path / before["store"] / "key.json").read_text())
        except (OSError, ValueError):
            return why
        changed = sorted(differences(old, entries.parts(stage)))
        return "what it depends on changed: " + ", ".join(f"`{one}`" for one in changed)

    def stage_finished(self, entries: Entries, stage: str, *, reused: bool) -> None:
        """Refer to a stage's result, and show its journals in the run's own files."""
        folder = entries.stage_folder(stage)
        store = os.path.relpath(folder, self.path)
        self.stages[stage] = {"key": entries.stage_key(stage), "store": store, "reused": reused}
        if entries.rule(stage):
            self.stages[stage]["hands_on"] = None
        self.now = {}
        link = self.path / "stages" / stage
        link.parent.mkdir(exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(os.path.relpath(folder, link.parent))
        self.record(entries, "running", {**self.before, **self.stages})
        for name in JOINED:
            files = [entries.stage_folder(one) / name for one in self.stages]
            write_text(self.path / name, "".join(file.read_text() for file in files if file.exists()))

    def tracked(self, row: dict[str, Any]) -> None:
        """Hand a row to the tracker, if there is one."""
        if self.tracker is not None:
            self.tracker(row)

    def choose(self, entries: Entries, stage: str) -> dict[str, Any]:
        """Apply a stage's hand-off rule to its candidates, which are evaluated; what it chose, and from what."""
        rule, steps = rule_of(entries, stage), candidates(entries, stage)
        evaluations = [self.candidate(entries, stage, one) for one in steps]
        record = choice(stage, rule, steps, evaluations)
        keep_choice(entries, record)
        write_json(self.path / "handoffs" / stage / HANDOFF, record)
        self.handoffs[stage] = record | {"evaluations": evaluations}
        self.stages[stage]["hands_on"] = record["chosen"]
        self.record(entries, "running", {**self.before, **self.stages})
        return record

    def candidate(self, entries: Entries, stage: str, checkpoint: str) -> dict[str, Any]:
        """One candidate's evaluation by what a hand-off rule reads."""
        rule, registry = rule_of(entries, stage), entries.file.registry
        suite = entries.suite(rule.on)
        here, names = self.path / "handoffs" / stage / checkpoint, sorted(suite.problems)
        found: dict[str, Any] = {"suite": suite.name, "problems": names, "metrics": {}, "settings": {}}
        if rule.sampled():
            draws = entries.draws(checkpoint, rule.on, rule.sampled(), rule.samples)
            found = keep_scores(here, suite, draws, rule.sampled(), registry)
        if LOSS in rule.metrics():
            loss = loss_metric(losses_folder(entries, checkpoint, rule.on), suite, found["problems"])
            found = found | {"metrics": found["metrics"] | {LOSS: loss}}
        return {"checkpoint": checkpoint, **found}

    def probe(self, entries: Entries, checkpoint: str) -> None:
        """Write down what the probe says of one checkpoint (`probes/CHECKPOINT.json`)."""
        name = CheckpointName.parse(checkpoint)
        step = 0 if name.stage == "base" else name.step
        if step is None:
            chosen = self.step_handed_on(name.stage) if name.stage in self.handoffs and not name.end else None
            step = self.done(entries, name.stage)["steps"] if chosen is None else chosen
        found = {"checkpoint": checkpoint, "stage": name.stage, "step": step, **probed(entries, checkpoint)}
        write_json(self.path / PROBES / f"{checkpoint}.json", found)
        self.probes.append(found)

    def report(
        self, entries: Entries, checkpoints: Sequence[str] | None = None, state: str = "finished"
    ) -> dict[str, Any]:
        """Scores of every evaluation (or of these checkpoints), then `report.json`, `report.html`, `report.md`."""
        from warmrl.report.build import build
        from warmrl.report.output import write

        shared = {name: contamination(entries, entries.suite(name)) for name in entries.file.recipe.suite}
        evaluations = [
            self.scored(entries, checkpoint, suite) | {"overlap": shared[suite][0]}
            for checkpoint in (entries.checkpoints() if checkpoints is None else checkpoints)
            for suite in entries.file.recipe.suite
        ]
        report = build(
            {
                "name": entries.file.recipe.name,
                "recipe": resolved(entries),
                "seed": entries.file.recipe.seed,
                "environment": json.loads((self.path / "environment.json").read_text()),
                "stages": [self.stage_record(entries, stage) for stage in self.stages],
                "evaluations": evaluations,
                "handoff": list(self.handoffs.values()),
                "probe": self.probes,
                "findings": [
                    *(one for stage in self.stages for one in self.done(entries, stage).get("findings", [])),
                    *(why for _, why in shared.values() if why),
                ],
            }
        )
        write(report, self.path)
        self.record(entries, state, self.stages)
        return report

    def done(self, entries: Entries, stage: str) -> dict[str, Any]:
        """A finished stage's record."""
        return json.loads((entries.stage_folder(stage) / "done.json").read_text())

    def stage_record(self, entries: Entries, stage: str) -> dict[str, Any]:
        """What the report is told of a stage."""
        choice = entries.file.recipe.stage[stage]
        record = self.done(entries, stage)
        return {
            "name": stage,
            "use": choice.use,
            "kind": choice.kind,
            "policy": getattr(choice.config, "policy", "base"),
            "key": entries.stage_key(stage),
            "reused": self.stages[stage]["reused"],
            "seconds": record["seconds"],
            "steps": record["steps"],
            "work": record.get("work"),
            "funnel": record.get("funnel", []),
            "rows": Journal(entries.stage_folder(stage) / "metrics.jsonl").rows(),
            **({"handed_on": self.step_handed_on(stage)} if stage in self.handoffs else {}),
        }

    def step_handed_on(self, stage: str) -> int | None:
        """The step that a stage's hand-off rule chose, if it chose one."""
        record = self.handoffs[stage]
        return next((one["step"] for one in record["candidates"] if one["checkpoint"] == record["chosen"]), None)

    def scored(self, entries: Entries, checkpoint: str, suite: str) -> dict[str, Any]:
        """One evaluation: `samples.jsonl`, `scores.json` and `sampling.json` of it, and what the report is told."""
        name = CheckpointName.parse(checkpoint)
        step = self.done(entries, name.stage)["steps"] if name.end else name.step
        about = {"checkpoint": checkpoint, "stage": name.stage, "step": step}
        here, draws = self.path / "evaluations" / f"{checkpoint}.{suite}", entries.draws(checkpoint, suite)
        metrics = entries.file.recipe.eval.metrics
        return about | keep_scores(here, entries.suite(suite), draws, metrics, entries.file.registry)


def keep_scores(
    here: Path, suite: Suite, draws: Sequence[Draws], metrics: Sequence[str], registry: Registry
) -> dict[str, Any]:
    """Write an evaluation's answers with their grades, its metrics and how it was drawn; what a report is told of it.

    `settings` are those of the sampled answers, or of the greedy ones where nothing was sampled.
    """
    found, samples = record(draws, suite, metrics, registry)
    blocks = {one.kind: json.loads((one.folder / DESCRIPTION).read_text()) for one in draws}
    names = {one.kind: one.folder.name for one in draws}
    lines = (json.dumps(row, ensure_ascii=True, allow_nan=False) + "\n" for row in rows(samples, suite, names))
    write_text(here / SAMPLES, "".join(lines))
    write_json(here / "scores.json", found)
    write_json(here / DESCRIPTION, {names[kind]: block for kind, block in blocks.items()})
    return found | {"settings": {**blocks[draws[-1].kind], "samples": draws[-1].count}}


def resolved(entries: Entries) -> dict[str, Any]:
    """The recipe with every default written out, its model and its datasets pinned."""
    table = entries.file.resolved()
    for name, settings in entries.pinned().items():
        kind, _, own = name.partition(".")
        table[kind][own].update(settings)
    if entries.base.revision:
        table["model"]["revision"] = entries.base.revision
    return table


def environment(sharding: str) -> dict[str, Any]:
    """What this was run on. The devices are asked of the driver's own files: torch is slow to load."""
    cards = sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))
    names = [line.partition(":")[2].strip() for card in cards for line in card.read_text().splitlines()[:1]]
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": f"{len(names)} x {names[0]}" if names else f"CPU ({platform.machine()})",
        "processes": (world := int(os.environ.get("WORLD_SIZE", "1"))),
        "machines": -(-world // local_processes()),
        "sharding": sharding if world > 1 else "none",
        "packages": {name: installed(name) for name in PACKAGES},
        "command": " ".join(["warmrl", *sys.argv[1:]]),
    }


def versions(known: Mapping[str, Any]) -> dict[str, str]:
    """What answers are drawn with, and were before: versions that another start added are all named."""
    before = known.get("versions", {})
    now = {name: installed(name) for name in ("torch", "transformers", "warmrl")}
    return {
        name: ", ".join(dict.fromkeys([*before.get(name, version).split(", "), version]))
        for name, version in now.items()
    }


def installed(name: str) -> str:
    """A package's version."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def differences(old: Any, new: Any, at: str = "") -> list[str]:
    """Paths at which two plain values differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        return [
            one
            for name in old.keys() | new.keys()
            for one in differences(old.get(name), new.get(name), f"{at}.{name}" if at else name)
        ]
    return [] if old == new else [at]
