"""Runs a recipe: each stage in order, each evaluation when its policy is there, then the report.

What is there is reused without loading torch; what is missing is made by the `Workshop`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from filelock import FileLock, Timeout

from warmrl.domain.errors import Interrupted, WarmrlError
from warmrl.domain.handoff import LOSS
from warmrl.domain.names import CheckpointName
from warmrl.domain.recipe import Recipe
from warmrl.engine.entries import Entries, policy_folder
from warmrl.engine.grading import Graders, lacking
from warmrl.engine.handoff import LOSSES, candidates, chosen_sentence, losses_folder, refusal, rule_of
from warmrl.engine.launch import is_first, launched
from warmrl.engine.probes import table_of
from warmrl.engine.progress import Progress
from warmrl.engine.run_folder import RunFolder, versions
from warmrl.engine.samples import DESCRIPTION, Draws, incomplete
from warmrl.engine.storage import storing, write_json
from warmrl.engine.suites import Suite
from warmrl.engine.usage import KeptUsage, Usage

T = TypeVar("T")

if TYPE_CHECKING:
    from warmrl.engine.workshop import Workshop


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
    evaluated: list[str] = field(default_factory=list)
    failed_observers: set[str] = field(default_factory=set)
    used_before: Usage | None = None
    """What the process had used when this run began, where that is not all its own."""
    used: KeptUsage | None = None

    @cached_property
    def graders(self) -> Graders:
        """What judges answers."""
        return Graders(self.entries.file.registry, self.entries.store, allow_code=self.allow_code)

    @property
    def recipe(self) -> Recipe:
        """The recipe that is run."""
        return self.entries.file.recipe

    @cached_property
    def workshop(self) -> Workshop:
        """What makes results; loaded when something has to be made."""
        from warmrl.engine.shared_folder import require_shared
        from warmrl.engine.workshop import Workshop

        workshop = Workshop(self.entries, self.progress, self.logged, self.stopping, self.allow_code)
        require_shared(self.entries.store, workshop.processes)
        devices = workshop.processes.devices()
        if is_first():
            self.folder.note({"devices": devices})
        return workshop

    def run(self) -> dict[str, Any]:
        """Run everything; returns the report. Raises `Interrupted` after publishing a checkpoint."""
        try:
            return self.whole(self.run_all)
        except Exception as error:
            self.folder.broke_off(error)
            raise
        finally:
            if self.used is not None:  # not of one that was refused before it began
                self.used.keep()

    def only(self, checkpoint: str) -> None:
        """Evaluate one checkpoint, which is there; no report is written."""
        self.whole(lambda: self.evaluate(checkpoint))

    def whole(self, work: Callable[[], T]) -> T:
        """Do work that may need the workshop, and close it."""
        try:
            return work()
        except Exception as error:
            if "workshop" in self.__dict__ and self.workshop.processes.lost(error):
                raise WarmrlError(
                    "Another process of this run is gone, or did not come within `[launch] timeout` minutes, and this "
                    "one cannot go on alone. What the other said tells why; the same command goes on from the newest "
                    f"checkpoint. (torch: {str(error).splitlines()[0]})"
                ) from error
            raise
        finally:
            self.graders.close()
            if "workshop" in self.__dict__:
                self.workshop.close()

    def run_all(self) -> dict[str, Any]:
        """Every stage and evaluation in order, then the report."""
        if is_first():
            self.folder.begin(self.entries)
            self.used = KeptUsage(self.folder.path, self.used_before)
        self.tell("warmrl_run_started", run=self.folder.describe(self.entries))
        self.measure("base")
        for name in self.entries.order():
            self.stage(name)
            if self.entries.rule(name):
                self.hand_off(name)
            self.measure(name)
        report = self.folder.report(self.entries) if is_first() else {}
        about = self.folder.describe(self.entries) | {"endpoints": report.get("endpoints", [])}
        self.tell("warmrl_run_finished", run=about)
        return report

    def trained(self) -> list[str]:
        """The stages that made a policy."""
        return [name for name in self.entries.order() if self.recipe.stage[name].kind != "curator"]

    def handed_on(self, stage: str) -> str:
        """Where in its entry a finished stage has the policy that it hands on."""
        name = self.entries.handed_on(CheckpointName(stage))
        return policy_folder(name.step if name else None)

    def findings(self) -> list[str]:
        """What stages found worth saying (preflights, curators)."""
        return [
            one for name in self.entries.order() for one in self.folder.done(self.entries, name).get("findings", [])
        ]

    def agree(self, value: Any) -> Any:
        """The first process's value, on all of them."""
        return self.workshop.processes.agree(value) if launched() else value

    def tell(self, hook: str, **what: Any) -> None:
        """Tell observers, once for all processes; one that fails is named, and changes nothing."""
        observers = getattr(self.entries.file.registry.manager.hook, hook).get_hookimpls()
        for one in observers if is_first() else []:
            try:
                one.function(*(what[name] for name in one.argnames))
            except Exception as error:
                if one.plugin_name not in self.failed_observers:
                    self.failed_observers.add(one.plugin_name)
                    why = f"{type(error).__name__}: {error}"
                    self.progress.say(f"The plugin `{one.plugin_name}` failed in `{hook}` ({why}); the run goes on.")

    def stage(self, name: str) -> None:
        """Bring one stage's result into the store, or find it there."""
        folder = self.entries.stage_folder(name)
        with self.locked(folder):
            why = self.agree(self.entries.missing(name, self.entries.kept_steps(name)) if is_first() else None)
            if why is None:
                self.reused.append(name)
            else:
                self.progress.say(f"Stage `{name}` runs: {self.folder.reason(self.entries, name, why)}.")
                self.doing(folder, stage=name)
                self.workshop.stage(name, folder)
                self.done.append(name)
        if is_first():
            self.folder.stage_finished(self.entries, name, reused=why is None)
            if self.used is not None:
                self.used.keep()
        self.tell("warmrl_stage_finished", stage=name, folder=folder, reused=why is None)
        self.progress.stage_finished(name, why is None)

    def hand_off(self, name: str) -> None:
        """Evaluate the candidates of a stage's rule, and take the one that it chooses.

        Raises `WarmrlError` in every process when none meets the floor; the report of what there is was written.
        """
        rule = rule_of(self.entries, name)
        for checkpoint in candidates(self.entries, name):
            self.answers(checkpoint, rule.on, rule.sampled(), rule.samples)
            if LOSS in rule.metrics():
                self.losses(checkpoint, rule.on)
        record = self.agree(self.folder.choose(self.entries, name) if is_first() else None)
        self.entries.settle(name, record["chosen"])
        self.doing()  # what comes after has other entries now
        if record["chosen"] is None:
            if is_first():
                self.folder.report(self.entries, self.evaluated, "stopped")
            raise WarmrlError(refusal(record, rule, self.folder.path))
        self.progress.say(chosen_sentence(record))

    def losses(self, checkpoint: str, suite: str) -> None:
        """What a checkpoint's negative log-likelihood of the worked answers is, or find it in the store."""
        folder = losses_folder(self.entries, checkpoint, suite)
        with self.locked(folder):
            if self.agree(not (folder / LOSSES).exists()):
                found = self.workshop.losses(checkpoint, self.entries.suite(suite))
                if is_first():
                    write_json(folder / LOSSES, found)

    def logged(self, row: dict[str, Any], timing: dict[str, Any]) -> None:
        """Show a row of metrics, and tell the tracker and observers."""
        self.progress.step(row, timing)
        if self.used is not None:
            self.used.now_and_then()
        self.tell("warmrl_metrics_logged", row=dict(row))
        if is_first():
            self.folder.tracked(row)

    def measure(self, stage: str) -> None:
        """Evaluate and probe the checkpoints of a stage, each loaded once: what the suites draw serves the probe."""
        points = self.entries.probes()
        for checkpoint in dict.fromkeys([*points, *self.entries.checkpoints()]):
            if CheckpointName.parse(checkpoint).stage == stage:
                self.evaluate(checkpoint)
                if checkpoint in points:
                    self.probe(checkpoint)

    def probe(self, checkpoint: str) -> None:
        """One checkpoint's answers to the probe, drawn or found in the store, and what they come to."""
        table = table_of(self.entries)
        self.answers(checkpoint, table.on, table.metrics, table.samples)
        if is_first():
            self.folder.probe(self.entries, checkpoint)

    def evaluate(self, checkpoint: str) -> None:
        """Sample every suite from one checkpoint, or find the samples in the store."""
        if checkpoint not in self.entries.checkpoints():
            return
        for name in self.recipe.suite:
            self.answers(checkpoint, name)
        self.evaluated.append(checkpoint)

    def answers(
        self, checkpoint: str, name: str, metrics: Sequence[str] | None = None, samples: int | None = None
    ) -> None:
        """One checkpoint's graded answers to one suite, as metrics (the recipe's) need them."""
        suite = self.entries.suite(name)
        for draws in self.entries.draws(checkpoint, name, metrics, samples):
            with self.locked(draws.folder):
                if self.agree(incomplete(draws, suite)):
                    self.describe(checkpoint, name, draws)
                    on_block = partial(self.progress.evaluating, checkpoint, f"{name} ({draws.kind})")
                    self.workshop.evaluate(checkpoint, suite, draws, on_block)
                self.grade(checkpoint, suite, draws)

    def describe(self, checkpoint: str, suite: str, draws: Draws) -> None:
        """Write down how answers are drawn, beside them."""
        if is_first():
            file = draws.folder / DESCRIPTION
            known = json.loads(file.read_text()) if file.exists() else {}
            write_json(file, self.entries.sampling(checkpoint, suite, draws) | {"versions": versions(known)})
            wanted = len(self.entries.suite(suite).problems) * draws.count
            self.doing(draws.folder, checkpoint=checkpoint, suite=suite, kind=draws.kind, answers=wanted)

    def doing(self, folder: Path | None = None, **what: Any) -> None:
        """Let who looks on know what is being made, and where."""
        if is_first():
            self.folder.doing(self.entries, folder, **what)
        if self.used is not None:
            self.used.now_and_then()

    def grade(self, checkpoint: str, suite: Suite, draws: Draws) -> None:
        """Judge the answers that a grader of the suite has not judged: each process its share."""
        work = self.agree(lacking(draws, suite, self.entries.file.registry))
        if work:
            world, rank = (self.workshop.processes.world, self.workshop.processes.rank) if launched() else (1, 0)
            on_block = partial(self.progress.evaluating, checkpoint, f"{suite.name} ({draws.kind}, graded)")
            alone = self.workshop.processes.together() if launched() else nullcontext()
            with alone:  # on leaving, every process has written its share: the first one reads them all
                self.graders.grade(work[rank::world], suite, self.stopping, on_block)

    @contextmanager
    def locked(self, folder: Path) -> Iterator[None]:
        """One writer per store entry; another run that needs it waits, then reuses it."""
        if not is_first():
            self.workshop.processes.wait()
            yield
            return
        lock = FileLock(folder.with_name(f".{folder.name}.lock"))
        self.acquire(lock)
        try:
            if launched():
                self.workshop.processes.wait()
            yield
        finally:
            lock.release()

    def acquire(self, lock: FileLock) -> None:
        """Take a lock of the store; says so when another run has it, and still listens to signals."""
        said = False
        with storing(Path(lock.lock_file)):
            Path(lock.lock_file).parent.mkdir(parents=True, exist_ok=True)
        while not lock.is_locked:
            try:
                lock.acquire(timeout=1)
            except Timeout:
                if signal := self.stopping():
                    raise Interrupted(
                        f"Stopped by signal {signal} while another run was at work.", 128 + signal
                    ) from None
                if not said:
                    self.progress.say("Another run is making what comes next; waiting for it.")
                    self.doing(waiting=True)
                said = True
        if said:
            self.doing()
