"""Runs a recipe: each stage in order, each evaluation when its policy is there, then the report."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from filelock import FileLock

from warmrl.domain.names import CheckpointName
from warmrl.domain.recipe import Recipe
from warmrl.engine.checkpointing import finish
from warmrl.engine.entries import CURATED, Entries
from warmrl.engine.evaluation import Evaluation
from warmrl.engine.policy import Policy
from warmrl.engine.processes import Processes
from warmrl.engine.progress import Progress
from warmrl.engine.recipe_rules import stage_config
from warmrl.engine.run_folder import RunFolder
from warmrl.engine.scoring import Rewards
from warmrl.engine.stage import Stage
from warmrl.engine.storage import write_json, write_text


@dataclass
class Experiment:
    """One run of a recipe in its run folder. `run` does what is missing and reuses the rest."""

    entries: Entries
    folder: RunFolder
    progress: Progress
    stopping: Callable[[], int] = lambda: 0
    allow_code: bool = False
    reused: list[str] = field(default_factory=list)
    done: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        registry, recipe = self.entries.file.registry, self.recipe
        self.processes = Processes(recipe.model.dtype)
        self.hooks = registry.manager.hook
        self.style = registry.instance(recipe.answer)
        self.rewards = Rewards(recipe.reward, self.style, registry)
        self.grader = registry.instance(recipe.grader, self.style)

    @property
    def recipe(self) -> Recipe:
        """The recipe that is run."""
        return self.entries.file.recipe

    def run(self) -> dict[str, Any]:
        """Run everything; returns the report. Raises `Interrupted` after publishing a checkpoint."""
        try:
            if self.processes.first:
                self.folder.begin(self.entries, self.processes.world)
            self.hooks.warmrl_run_started(run=self.folder.describe(self.entries))
            self.evaluate("base")
            for name in self.entries.order():
                self.stage(name)
                for checkpoint in self.entries.checkpoints():
                    if CheckpointName.parse(checkpoint).stage == name:
                        self.evaluate(checkpoint)
            report = self.folder.report(self.entries) if self.processes.first else {}
            self.hooks.warmrl_run_finished(run=self.folder.describe(self.entries))
            return report
        finally:
            self.rewards.close()
            self.grader.close()

    def trained(self) -> list[str]:
        """The stages that made a policy."""
        return [name for name in self.entries.order() if self.recipe.stage[name].kind != "curator"]

    def findings(self) -> list[str]:
        """What stages found worth saying (preflights, curators)."""
        return [
            one for name in self.entries.order() for one in self.folder.done(self.entries, name).get("findings", [])
        ]

    def stage(self, name: str) -> None:
        """Bring one stage's result into the store, or find it there."""
        folder = self.entries.stage_folder(name)
        with self.locked(folder):
            why = self.processes.agree(self.entries.missing(name, self.entries.kept_steps(name)))
            if why is None:
                self.reused.append(name)
            else:
                self.progress.say(f"Stage `{name}` runs: {self.folder.reason(self.entries, name, why)}.")
                self.work(name, folder)
                self.done.append(name)
        if self.processes.first:
            self.folder.stage_finished(self.entries, name, reused=why is None)
        self.hooks.warmrl_stage_finished(stage=name, folder=folder, reused=why is None)
        self.progress.stage_finished(name, why is None)

    def work(self, name: str, folder: Path) -> None:
        """Run a stage's plugin from its newest checkpoint."""
        recipe, began = self.recipe, time.perf_counter()
        choice = recipe.stage[name]
        if self.processes.first:
            write_json(folder / "key.json", self.entries.parts(name))
            (folder / "done.json").unlink(missing_ok=True)
        stage = self.open(name, folder)
        plugin = self.entries.file.registry.instance(choice, stage)
        if choice.kind == "curator":
            self.progress.stage_started(name, choice.use, 0, 0)
            self.write_curated(folder, plugin.curate(), stage, began)
            return
        steps = plugin.total_steps()
        self.progress.stage_started(name, choice.use, steps, 0)
        plugin.run()
        rows = len(stage.metrics.rows())
        finish(stage, {"steps": rows, "seconds": self.spent(stage, began)})

    def open(self, name: str, folder: Path) -> Stage:
        """A stage's policy, data and services."""
        recipe = self.recipe
        config = stage_config(recipe.stage[name])
        source = self.entries.policy_source(config.policy)

        def load(trained: bool) -> Policy:
            return Policy.load(
                source, recipe.model, device=self.processes.device, trained=trained, allow_code=self.allow_code
            )

        policy = load(True)
        folder.mkdir(parents=True, exist_ok=True)
        stage = Stage(
            name, config, recipe.seed, policy, self.entries.problems(name), self.style, self.rewards, self.grader,
            recipe.sampler, recipe.model, self.processes, self.entries.file.registry, folder,
            keep=frozenset(self.entries.kept_steps(name)), stopping=self.stopping, reference=lambda: load(False),
            allow_code=self.allow_code,
        )  # fmt: skip
        stage.on_row = lambda row: self.logged(stage, row)
        return stage

    def logged(self, stage: Stage, row: dict[str, Any]) -> None:
        """Show a row, and tell observers."""
        self.progress.step(row, stage.last_timing)
        self.hooks.warmrl_metrics_logged(row=row)
        if self.processes.first:
            self.folder.tracked(row)

    def write_curated(self, folder: Path, problems: Any, stage: Stage, began: float) -> None:
        """Keep what a curator made."""
        if self.processes.first:
            rows = ({"id": p.id, "source": p.extra["source"], "solution": p.solution} for p in problems)
            write_text(folder / CURATED, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
            seconds = time.perf_counter() - began
            record = {"steps": 0, "problems": len(problems), "seconds": seconds, "findings": stage.findings}
            write_json(folder / "done.json", record)
        self.processes.wait()

    def spent(self, stage: Stage, began: float) -> float:
        """Seconds of a stage: those of its steps, an earlier start's included, or since it was opened."""
        steps = [sum(v for k, v in row.items() if k in stage.PHASES) for row in stage.timings.rows()]
        return max(sum(steps), time.perf_counter() - began)

    def evaluate(self, checkpoint: str) -> None:
        """Sample every suite from one checkpoint, or find the samples in the store."""
        if checkpoint not in self.entries.checkpoints():
            return
        policy: Policy | None = None
        for suite in self.recipe.suite:
            folder = self.entries.eval_folder(checkpoint, suite)
            with self.locked(folder):
                evaluation = Evaluation(
                    folder, self.entries.dataset(f"suite.{suite}").problems(), self.style, self.grader,
                    self.recipe.eval, self.processes, self.stopping,
                    partial(self.progress.evaluating, checkpoint, suite),
                )  # fmt: skip
                if self.processes.agree(evaluation.finished()):
                    continue
                if policy is None:
                    source = self.entries.policy_source(checkpoint)
                    policy = Policy.load(
                        source, self.recipe.model, device=self.processes.device, trained=False,
                        allow_code=self.allow_code,
                    )  # fmt: skip
                evaluation.sample(self.entries.file.registry.instance(self.recipe.sampler, policy))

    @contextmanager
    def locked(self, folder: Path) -> Iterator[None]:
        """One writer per store entry; another run that needs it waits, then reuses it."""
        if not self.processes.first:
            self.processes.wait()
            yield
            return
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(f".{folder.name}.lock")):
            self.processes.wait()
            yield
