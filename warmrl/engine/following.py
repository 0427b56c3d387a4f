"""What a run is doing, or did, read from its folder and the store while another process writes. No torch.

`poll()` reads what is new since the last look; everything else is plain values for whoever shows them. Files may be
missing, torn or foreign at any moment: what cannot be read is left out.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from warmrl.engine.journal_tail import BlockCount, JournalTail, JsonFile
from warmrl.engine.run_place import RUN_FILE
from warmrl.engine.run_process import alive

CURVES = ("reward", "entropy", "length", "loss", "truncated")
# A run whose process cannot be asked is called silent after this many of its own steps, and not before these seconds.
SILENT_STEPS, SILENT_SECONDS = 20, 600.0
# Steps whose median time tells how long the rest takes.
RECENT = 20
# Bytes at the end of journals of which only the newest rows are shown.
LAST_ROWS, LAST_STEP = 2**15, 2**20
# Rows of a long journal that are read at first, evenly spaced: more than a terminal can show.
CURVE_POINTS = 1000
# Columns of a row of timings that are no seconds.
NO_SECONDS = {"stage", "step", "steps", "rows_recomputed", "tokens_per_second"}
# Where a data set alone is trained on, its entropy stands for the policy's.
OTHERWISE = {"entropy": "entropy_on_data"}
Curve = list[tuple[int, float]]


@dataclass(frozen=True)
class Stage:
    """One stage of a run: `state` is waiting, running, done or reused; `step` of `steps` is done, where it counts."""

    name: str
    use: str
    state: str
    step: int | None
    steps: int | None


@dataclass
class Journals:
    """The journals of one stage's entry in the store."""

    folder: Path
    curves: dict[str, Curve] = field(default_factory=dict)
    row: dict[str, Any] = field(default_factory=dict)
    timing: dict[str, Any] = field(default_factory=dict)
    rollouts: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._metrics = JournalTail(self.folder / "metrics.jsonl", thin=CURVE_POINTS)
        self._timings = JournalTail(self.folder / "timings.jsonl", LAST_ROWS)
        self._rollouts = JournalTail(self.folder / "rollouts.jsonl", LAST_STEP)
        self.seconds: deque[float] = deque(maxlen=RECENT)

    def poll(self) -> None:
        """Read the new rows."""
        again, rows = self._metrics.more()
        if again:
            self.curves, self.row = {}, {}
        for row in rows:
            self._add(row)
        again, timings = self._timings.more()
        if again:
            self.seconds.clear()
        for row in timings:
            self.timing = row
            self.seconds.append(sum(v for k, v in row.items() if k not in NO_SECONDS and number(v)))
        self._last_step(*self._rollouts.more())

    def _add(self, row: dict[str, Any]) -> None:
        """Add a row of metrics to the curves."""
        step = row.get("step")
        if not isinstance(step, int):
            return
        self.row = row
        for name in CURVES:
            value = row.get(name, row.get(OTHERWISE.get(name, "")))
            if value is not None and number(value):
                self.curves.setdefault(name, []).append((step, float(value)))

    def _last_step(self, again: bool, rows: list[dict[str, Any]]) -> None:
        """Keep the rollouts of the newest step alone."""
        kept = ([] if again else self.rollouts) + rows
        self.rollouts = [one for one in kept if one.get("step") == kept[-1].get("step")] if kept else []

    @property
    def step(self) -> int:
        """The newest step, 0 before the first."""
        return int(self.row.get("step", 0))

    def left(self, steps: int | None) -> float | None:
        """Seconds that the rest of the stage takes at the pace of its newest steps."""
        return median(self.seconds) * max(steps - self.step, 0) if steps and self.seconds else None


@dataclass
class Run:
    """A run that is followed. `poll` first."""

    folder: Path
    journals: Journals | None = None
    """Of the stage that runs, or of the last one that has any."""

    def __post_init__(self) -> None:
        self._file = JsonFile(self.folder / RUN_FILE)
        self._recipe = JsonFile(self.folder / "recipe.resolved.json")
        self._report = JsonFile(self.folder / "report.json")
        self._done: dict[Path, JsonFile] = {}
        self._blocks: BlockCount | None = None
        self._answers = 0

    def poll(self) -> None:
        """Read what is new. Of a run that has ended, nothing is read twice."""
        new = self._file.read()
        if new:
            self._recipe.read()
        if new or self.known.get("state") == "running":
            self._poll_stage()

    def _poll_stage(self) -> None:
        """Read on in the entry that is being made."""
        entry, now = self._entry(), self.now
        if entry is not None and (self.journals is None or self.journals.folder != entry):
            self.journals = Journals(entry)
        if self.journals is not None:
            self.journals.poll()
        drawn = self.folder / now["store"] if "checkpoint" in now and isinstance(now.get("store"), str) else None
        if drawn is None:
            self._blocks = None
        elif self._blocks is None or self._blocks.folder != drawn:
            self._blocks = BlockCount(drawn)
        self._answers = self._blocks.count() if self._blocks else 0

    def _entry(self) -> Path | None:
        """Where the journals to be shown are: of the stage at work, or of the last that is done."""
        here = self.now.get("store") if "stage" in self.now else None
        done = [table(one).get("store") for one in table(self.known.get("stages")).values()]
        found = here or next((one for one in reversed(done) if isinstance(one, str)), None)
        return Path(os.path.normpath(self.folder / found)) if isinstance(found, str) else None

    @property
    def known(self) -> dict[str, Any]:
        """What `run.json` says."""
        return self._file.known

    @property
    def now(self) -> Mapping[str, Any]:
        """What it says is being made."""
        return table(self.known.get("now"))

    @property
    def name(self) -> str:
        """The recipe's name."""
        return str(self.known.get("name", self.folder.name))

    @property
    def state(self) -> str:
        """`running`, `finished`, `stopped` (by a signal or a hand-off rule), `failed`, `died`, `silent`, `unreadable`.

        `died`: its process has ended, and it never said that it finished. `silent`: its process is on another machine
        and nothing new has come for long.
        """
        state = self.known.get("state")
        if state != "running":
            return state if state in ("finished", "stopped", "failed") else "unreadable"
        process = alive(self.known.get("process"))
        if process is None:
            return "silent" if self.quiet() > self._patience() else "running"
        return "running" if process else "died"

    @property
    def error(self) -> str:
        """Why it stopped or failed; empty where it did not, or never said."""
        return str(self.known.get("error", ""))

    def quiet(self) -> float:
        """Seconds since anything new came: a row, a finished block of answers, a word in `run.json`."""
        times = [self._file.changed_at(), self._blocks.newest if self._blocks else 0.0]
        if self.journals is not None:
            times += [mtime(self.journals.folder / "metrics.jsonl")]
        return max(time.time() - max(times), 0.0)

    def _patience(self) -> float:
        """Seconds without anything new after which a run is called silent."""
        pace = median(self.journals.seconds) if self.journals and self.journals.seconds else 0.0
        return max(SILENT_SECONDS, SILENT_STEPS * pace)

    @property
    def stages(self) -> list[Stage]:
        """Its stages in the order in which they run."""
        tables, done = table(self._recipe.known.get("stage")), table(self.known.get("stages"))
        order = self.known.get("order")
        names = (
            [one for one in order if isinstance(one, str)] if isinstance(order, list) else list(tables) or list(done)
        )
        out = []
        for name in names:
            steps = table(tables.get(name)).get("steps")
            use, of = str(table(tables.get(name)).get("use", "")), steps if isinstance(steps, int) else None
            if name == self.now.get("stage"):
                step = self.journals.step if self.journals else 0
                timed = self.journals.timing.get("steps") if self.journals else None
                out.append(Stage(name, use, "running", step, timed if isinstance(timed, int) else of))
            elif self._is_own(done.get(name)):
                made = self._record(done[name]).get("steps", of)
                state = "reused" if table(done[name]).get("reused") else "done"
                out.append(Stage(name, use, state, made, made))
            else:
                out.append(Stage(name, use, "waiting", 0 if of else None, of))
        return out

    def _is_own(self, stage: Any) -> bool:
        """Whether a finished stage is the present recipe's: a folder remembers what an older one made, too."""
        entries, store = self.known.get("entries"), table(stage).get("store")
        return isinstance(store, str) and (not isinstance(entries, list) or store in entries)

    def _record(self, stage: Any) -> dict[str, Any]:
        """A finished stage's `done.json`."""
        store = table(stage).get("store")
        if not isinstance(store, str):
            return {}
        file = self._done.setdefault(self.folder / store, JsonFile(self.folder / store / "done.json"))
        if not file.known:
            file.read()
        return file.known

    @property
    def stage(self) -> Stage | None:
        """The stage whose journals are shown: the one that runs, or the last one that is done."""
        shown = [one for one in self.stages if one.state != "waiting"]
        return next((one for one in shown if one.state == "running"), shown[-1] if shown else None)

    @property
    def doing(self) -> str:
        """What it is at besides a stage's steps, in words; empty where there is nothing to say."""
        now = self.now
        if self.known.get("state") != "running":
            return ""
        if now.get("waiting"):
            return "waiting for another run, which makes what comes next"
        if "checkpoint" in now:
            wanted = now.get("answers")
            done = f"{min(self._answers, wanted)}/{wanted} answers" if isinstance(wanted, int) else ""
            what = "grading" if self._answers == wanted else "evaluating"
            return f"{what} {now['checkpoint']} on {now.get('suite')} ({now.get('kind')}), {done}"
        if "stage" in now and not (self.journals and self.journals.row):
            return "preparing its first step"
        return "" if "stage" in now else "between stages"

    @property
    def left(self) -> float | None:
        """Seconds that the stage that runs still takes, at the pace of its newest steps."""
        stage = self.stage
        running = stage is not None and stage.state == "running" and self.journals is not None
        return self.journals.left(stage.steps) if running and self.journals and stage else None

    def headline(self) -> dict[str, Any] | None:
        """The first endpoint of the last checkpoint in its report: `checkpoint`, `suite`, `metric`, `value`."""
        self._report.read()
        endpoints = self._report.known.get("endpoints")
        found = [one for one in endpoints if isinstance(one, dict)] if isinstance(endpoints, list) else []
        last = [one for one in found if one.get("checkpoint") == found[-1].get("checkpoint")]
        first = [one for one in last if one.get("suite") == found[0].get("suite")] or last
        named = [one for one in first if one.get("metric") == "accuracy"] or first
        return named[0] if named and number(named[0].get("value")) else None


def number(value: Any) -> bool:
    """Whether a value is a number."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def table(value: Any) -> Mapping[str, Any]:
    """A table, or an empty one for what is none."""
    return value if isinstance(value, Mapping) else {}


def mtime(file: Path) -> float:
    """When a file was last written, in seconds since 1970; 0 where it isn't there."""
    try:
        return file.stat().st_mtime
    except OSError:
        return 0.0
