"""Times that are measured, where a device's peak says nothing of a small model: a few real steps, thrown away.

A process of its own runs each distinct stage of the recipes for a few steps, and one block of every suite, in a folder
that is removed; what it took is kept beside the store, by all settings that could change it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from warmrl.domain.errors import Interrupted
from warmrl.domain.stages import MethodConfig
from warmrl.engine.entries import Entries
from warmrl.engine.keys import key_of, semantic
from warmrl.engine.launch import PARENT
from warmrl.engine.recipe_rules import stage_config
from warmrl.engine.storage import write_json

FILE = "speeds.json"
# What makes no difference to how long a step takes: which run it is of, and how many of them there are.
NO_MATTER = ("stage", "seed", "policy", "policies", "data")
# Where a step takes longer than this by its operations, measuring would be a run of its own.
SMALL_FLOPS = 2e11
# Seconds by the clock for each of processors above which something else had them.
BUSY = 2.0
# Longest that measuring may take.
LIMIT_SECONDS = 900
LOOK_SECONDS = 0.1
MEASURING = (
    "Measuring how fast each stage runs here, about a minute; it is kept, and later plans of the same settings take it."
)


@dataclass(frozen=True)
class Speed:
    """What something takes, in seconds by the clock and of processors: once, and for each step (problem, answer)."""

    once: float
    each: float
    cpu_once: float
    cpu_each: float

    def seconds(self, many: float) -> float:
        """By the clock."""
        return self.once + many * self.each

    def cpu_seconds(self, many: float) -> float:
        """Of processors."""
        return self.cpu_once + many * self.cpu_each


@dataclass
class Speeds:
    """What is known on this machine, by key. `peak_bytes`: most memory that a process of these runs took."""

    known: dict[str, Speed] = field(default_factory=dict)
    peak_bytes: int = 0
    reasons: list[str] = field(default_factory=list)

    @classmethod
    def kept(cls, store: Path) -> Speeds:
        """Of earlier plans."""
        try:
            table = json.loads((store.parent / FILE).read_text())
            return cls({key: Speed(**one) for key, one in table["known"].items()}, table["peak_bytes"])
        except (OSError, ValueError, KeyError, TypeError):
            return cls()

    def keep(self, store: Path) -> None:
        """For later plans."""
        write_json(store.parent / FILE, self.table())

    def table(self) -> dict[str, Any]:
        """As plain values."""
        return {"known": {key: vars(one) for key, one in self.known.items()}, "peak_bytes": self.peak_bytes}

    @property
    def busy(self) -> float:
        """Seconds by the clock for each of processors."""
        cpu = sum(one.cpu_each for one in self.known.values())
        return sum(one.each for one in self.known.values()) / cpu if cpu else 0.0

    def of_stage(self, entries: Entries, stage: str) -> Speed | None:
        """A stage's: once, and each step (a curator's: each problem)."""
        return self.known.get(stage_speed_key(entries, stage))

    def of_answers(self, entries: Entries, suite: str) -> Speed | None:
        """An evaluation's on a suite: once, and each answer; of one that was not tried, as on the first that was."""
        own = self.known.get(answers_key(entries, suite))
        tried = (self.known.get(answers_key(entries, one)) for one in entries.file.recipe.suite)
        return own or next((one for one in tried if one), None)

    def of_run(self) -> Speed | None:
        """A run's own: starting, opening models, the report."""
        return self.known.get("run")


def stage_speed_key(entries: Entries, stage: str) -> str:
    """Everything that a step's time depends on."""
    parts = {name: one for name, one in entries.parts(stage).items() if name not in NO_MATTER}
    settings = {name: one for name, one in parts["settings"].items() if name not in ("steps", "epochs", "hold_out")}
    return "stage-" + key_of(parts | {"settings": settings, "base": entries.base.fingerprint})


def answers_key(entries: Entries, suite: str) -> str:
    """Everything that an answer's time depends on."""
    recipe, registry = entries.file.recipe, entries.file.registry
    choice = recipe.suite.get(suite) or recipe.data[suite]
    way = {"max_tokens": recipe.eval.max_tokens, "metrics": sorted(recipe.eval.metrics)}
    parts = {"suite": choice.use, "sampler": semantic(recipe.sampler, registry), "base": entries.base.fingerprint}
    return "answers-" + key_of(parts | way)


def measurable(entries: Entries, work: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether a few steps of every stage take seconds: all weights are here, and no step has many operations."""
    steps = [sum(one["flops_per_step"].values()) for one in work.values()]
    return entries.can_tell() and all(one <= SMALL_FLOPS for one in steps)


def measured(arms: Iterable[Entries], store: Path, stopping: Callable[[], int] = lambda: 0) -> Speeds:
    """Speeds of all stages and suites of these recipes; what is not known is measured, and kept.

    Raises `Interrupted` when a signal came to a process that listens to some (`stopping`).
    """
    found, requests = Speeds.kept(store), []
    asked: set[str] = set(found.known)
    for entries in arms:
        keys = {stage_speed_key(entries, one): one for one in entries.order()}
        suites = {answers_key(entries, one): one for one in entries.file.recipe.suite}
        if not asked >= keys.keys() | suites.keys():
            requests.append(request(entries, [keys[one] for one in keys.keys() - asked], suites.keys() - asked))
        asked |= keys.keys() | suites.keys()
    if requests:
        new = tried(requests, stopping)
        found = Speeds(found.known | new.known, max(found.peak_bytes, new.peak_bytes), new.reasons)
        if new.busy > BUSY:
            found.reasons.append(
                f"the processors were busy with other work while it was measured: it took {new.busy:.1f} times as long "
                "as its time of processors, and so will the study beside such work; what was measured is not kept."
            )
        else:
            found.keep(store)
    return found


def request(entries: Entries, stages: Sequence[str], suites: Iterable[str]) -> dict[str, Any]:
    """What the process is asked to try of a recipe."""
    file = entries.file
    table = {**file.table, "plugins": file.resolved()["plugins"]}
    return {"path": str(file.path), "table": table, "stages": sorted(stages), "suites": bool(list(suites))}


def tried(requests: Sequence[Mapping[str, Any]], stopping: Callable[[], int]) -> Speeds:
    """Run the process that measures. What it could not do is a reason."""
    print(MEASURING, file=sys.stderr, flush=True)  # noqa: T201  # a person waits for it
    with tempfile.TemporaryDirectory(prefix="warmrl-plan-") as place:
        asked, told = Path(place) / "asked.json", Path(place) / "told.json"
        write_json(asked, list(requests))
        command = [sys.executable, "-m", "warmrl.engine.forecast.measuring", str(asked), str(told)]
        why = said(command, Path(place) / "log.txt", stopping)
        if not told.exists():
            return Speeds(reasons=[f"time could not be measured: {why}"])
        table = json.loads(told.read_text())
        return Speeds({key: Speed(**one) for key, one in table["known"].items()}, table["peak_bytes"], table["reasons"])


def said(command: Sequence[str], log: Path, stopping: Callable[[], int]) -> str:
    """Run a command that ends with this process; its last words. Raises `Interrupted`."""
    until = time.monotonic() + LIMIT_SECONDS
    with log.open("wb") as stream:
        child = subprocess.Popen(  # noqa: S603  # our own module
            command, env=os.environ | {PARENT: str(os.getpid())}, stdin=subprocess.DEVNULL, stdout=stream,
            stderr=stream, process_group=0,
        )  # fmt: skip
    try:
        while child.poll() is None and time.monotonic() < until:
            if number := stopping():
                raise Interrupted(
                    f"Stopped by signal {number} while speeds were measured; nothing was begun.", 128 + number
                )
            time.sleep(LOOK_SECONDS)
        if child.poll() is None:
            return f"it took more than {LIMIT_SECONDS} s"
    finally:
        child.terminate()
        child.wait()
    words = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return words[-1] if words else f"exit code {child.returncode}"


def steps_or_problems(entries: Entries, stage: str, steps: int, problems: int) -> int:
    """What a stage's speed counts in."""
    return steps if isinstance(stage_config(entries.file.recipe.stage[stage]), MethodConfig) else problems
