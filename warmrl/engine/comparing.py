"""Measures targets under one protocol, and hands what was found to the report of `warmrl eval` and `warmrl compare`."""

from __future__ import annotations

import hashlib
import os
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from warmrl.domain.dataset import Dataset
from warmrl.domain.errors import UsageError
from warmrl.domain.problem import Problem
from warmrl.engine import foreign_samples
from warmrl.engine.contamination import THUMBNAILS, overlap_table
from warmrl.engine.entries import Entries
from warmrl.engine.experiment import Experiment
from warmrl.engine.grading import Graders, lacking
from warmrl.engine.launch import is_first
from warmrl.engine.overlap import overlap
from warmrl.engine.progress import Progress
from warmrl.engine.run_folder import RunFolder, environment, keep_scores
from warmrl.engine.run_place import RUN_FILE, known_run
from warmrl.engine.samples import DESCRIPTION, Block, Draws, blocks, write_rows
from warmrl.engine.scores import metric_of
from warmrl.engine.storage import canonical, sha256, write_json
from warmrl.engine.suites import Suite
from warmrl.engine.targets import Target

KEPT = 64
"""Rows of other tools' samples that are graded together."""


@dataclass
class Measuring:
    """One `warmrl eval` or `warmrl compare`: its folder, and what it was told."""

    folder: Path
    store: Path
    progress: Progress
    stopping: Callable[[], int]
    allow_code: bool = False
    sampling: Mapping[str, Any] = field(default_factory=dict)
    """What somebody states about how a file's samples were drawn."""
    explicit: bool = False
    """Whether somebody named the metrics."""
    training: Mapping[str, Dataset[Any]] = field(default_factory=dict)
    """What the targets were trained on, as it was named, to look for in the suites."""
    findings: list[str] = field(default_factory=list)
    _overlaps: dict[str, dict[str, Any]] = field(default_factory=dict)

    def begin(self, name: str, targets: Sequence[Target]) -> None:
        """Say whose folder it is, before anything is drawn."""
        shown = [{"label": t.label, "source": t.source, "arm": t.arm, "seed": t.seed} for t in targets]
        own = known_run(self.folder).get("entries", [])  # what was made before stays its own
        about = {"name": name, "state": "running", "stages": {}, "entries": own, "targets": shown}
        about["suites"] = list(targets[0].file.recipe.suite)
        write_json(self.folder / RUN_FILE, about)

    def measure(self, target: Target) -> list[dict[str, Any]]:
        """Draw and grade what is missing of a target; what a report is told of it on each suite."""
        entries = Entries(target.file, self.store)
        found = self.of_file(target, entries) if target.is_file else self.of_checkpoint(target, entries)
        return [
            {"checkpoint": target.label, **one, "overlap": self.overlap(entries.suite(one["suite"]))} for one in found
        ]

    def of_checkpoint(self, target: Target, entries: Entries) -> list[dict[str, Any]]:
        """A model's answers to every suite of the protocol."""
        entries.check_models()
        if is_first():
            drawn = [one.folder for name in entries.file.recipe.suite for one in entries.draws("base", name)]
            self.own(*drawn)
        experiment = Experiment(
            entries, RunFolder(self.folder), Labelled(self.progress, target.label), self.stopping, self.allow_code
        )
        experiment.only("base")
        out = []
        for name in entries.file.recipe.suite if is_first() else ():
            draws = entries.draws("base", name)
            metrics, registry = entries.file.recipe.eval.metrics, entries.file.registry
            out.append(keep_scores(self.place(target, name), entries.suite(name), draws, metrics, registry))
        return out

    def of_file(self, target: Target, entries: Entries) -> list[dict[str, Any]]:
        """The samples of a file. They are of one suite. Raises `UsageError`."""
        names = list(entries.file.recipe.suite)
        if len(names) != 1:
            raise UsageError(
                f"{target.source} holds samples of one suite, and there are {len(names)} to choose from "
                f"({', '.join(names)}); say which with `--suite`."
            )
        suite = entries.suite(names[0])
        draws, fewest, findings = taken_in(Path(target.source), suite, self.store, self.sampling)
        self.findings += [f"`{target.label}`: {one}" for one in findings]
        self.own(draws.folder)
        graders = Graders(entries.file.registry, self.store)
        try:
            work = lacking(draws, suite, entries.file.registry)
            graders.grade(
                work, suite, self.stopping,
                lambda done, total: self.progress.evaluating(target.label, f"{suite.name} (graded)", done, total),
            )  # fmt: skip
        finally:
            graders.close()
        metrics = self.fitting(target, draws, fewest)
        return [keep_scores(self.place(target, suite.name), suite, [draws], metrics, entries.file.registry)]

    def fitting(self, target: Target, draws: Draws, fewest: int) -> list[str]:
        """The metrics that a file's samples can say something of: of their kind, with a k that they reach.

        A k that somebody asked for and that they do not reach stays, and is refused where it is measured.
        """
        out = []
        for text in target.file.recipe.eval.metrics:
            metric = metric_of(text, target.file.registry)
            if metric.reads != draws.kind:
                self.findings.append(f"`{target.label}` has no {metric.reads} answers, which `{text}` reads.")
            elif not metric.takes_k or self.explicit or metric.k <= fewest:
                out.append(text)
        return out

    def own(self, *folders: Path) -> None:
        """Say that entries of the store are this measurement's (`warmrl runs prune` asks), before they are filled."""
        known = known_run(self.folder)
        entries = sorted({*known.get("entries", []), *(os.path.relpath(one, self.folder) for one in folders)})
        write_json(self.folder / RUN_FILE, known | {"entries": entries})

    def place(self, target: Target, suite: str) -> Path:
        """Where a target's answers to a suite are shown."""
        return self.folder / "evaluations" / f"{target.label.replace('/', '-')}.{suite}"

    def overlap(self, suite: Suite) -> dict[str, Any] | None:
        """What the suite shares with the training data that was named; the same for every target."""
        if not self.training:
            return None
        if suite.name not in self._overlaps:
            problems: list[Problem] = [one for dataset in self.training.values() for one in dataset.problems()]
            cache = self.store / THUMBNAILS
            self._overlaps[suite.name] = overlap_table(
                overlap(problems, list(suite.problems.values()), cache=cache),
                list(self.training),
            )
        return self._overlaps[suite.name]

    def report(self, targets: Sequence[Target], evaluations: Sequence[dict[str, Any]], **more: Any) -> dict[str, Any]:
        """Write `report.json`, `report.html` and `report.md` of everything that was measured."""
        from warmrl.report.comparison import build
        from warmrl.report.output import write

        arms: dict[str, list[str]] = {}
        for one in targets:
            arms.setdefault(one.arm or "", []).append(one.label)
        arms.pop("", None)
        known = {"findings": self.findings, "environment": environment("none"), "arms": arms}
        known["reproduce"] = [" ".join(["warmrl", *sys.argv[1:]])]
        about = known_run(self.folder)
        report = build({"targets": about["targets"], "evaluations": evaluations, **known, **more})
        write(report, self.folder)
        write_json(self.folder / RUN_FILE, about | {"state": "finished"})
        return report


class Labelled(Progress):
    """What is told of a target's only checkpoint, under the target's own label."""

    def __init__(self, progress: Progress, label: str) -> None:
        self.progress, self.label = progress, label

    def evaluating(self, checkpoint: str, suite: str, done: int, total: int) -> None:
        self.progress.evaluating(self.label, suite, done, total)

    def say(self, sentence: str) -> None:
        self.progress.say(sentence)


def taken_in(file: Path, suite: Suite, store: Path, stated: Mapping[str, Any]) -> tuple[Draws, int, list[str]]:
    """Another tool's samples as blocks of the store, the fewest that a problem has, and what is worth saying of them.

    Samples are counted from 0 for each problem, whatever numbers the file gives them. Raises `UsageError`.
    """
    known = foreign_samples.Suite(suite.name, list(suite.problems.values()), suite.revision, suite.prompts)
    found = foreign_samples.read(file, known, stated)
    name = hashlib.sha256(canonical([sha256(file), suite.revision, dict(stated)]).encode()).hexdigest()[:20]
    folder = store / f"samples-{name}"
    seen: Counter[str] = Counter()
    rows = [
        {
            "problem": one.problem,
            "prompt": suite.prompts[one.problem],
            "index": counted(seen, one.problem),
            "completion": one.completion,
            "finish": one.finish,
            "tokens": one.tokens,
            "entropy": one.entropy if one.entropies is None else sum(one.entropies),
            "surprisal": one.surprisal if one.logprobs is None else -sum(one.logprobs),
        }
        for one in found.samples
    ]
    if not blocks(folder):
        write_json(folder / DESCRIPTION, {**found.sampling, "sampler": found.format, "versions": {}})
    for start in range(0, len(rows), KEPT):
        block = Block(folder / f"block-{start:016x}.jsonl")
        if not block.file.exists():
            write_rows(block.file, rows[start : start + KEPT])
    count, fewest = max(seen.values()), min(seen.values())
    temperature = 0.0 if found.kind == "greedy" else float(found.sampling.get("temperature", 1.0))
    draws = Draws(found.kind, folder, count, temperature, 1.0, 0, 0, KEPT)
    return draws, fewest, list(found.findings)


def counted(seen: Counter[str], name: str) -> int:
    """How many of this name came before."""
    seen[name] += 1
    return seen[name] - 1
