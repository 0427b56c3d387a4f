"""What a study's cells left in their folders, as plain values for its report. Reads files alone: no torch, no store.

A cell that is absent, running or failed is named and left out; so is one whose recipe is not the study's any more.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from warmrl.engine.following import mtime
from warmrl.engine.keys import key_of
from warmrl.engine.recipe_rules import stage_order
from warmrl.engine.run_folder import RESOLVED, differences
from warmrl.engine.run_place import MERGED, PLAN, RUN_FILE, known_study, object_in
from warmrl.engine.run_process import seconds_of
from warmrl.engine.study_file import Cell, StudyFile
from warmrl.engine.usage import usage_of

Row = dict[str, Any]
NO_PART = ("launch", "plugins", "name")
"""Of a resolved recipe: what never changes a result."""
PINNED = ("data.", "suite.", "model.")
"""Where a run writes down what the recipe left open."""
NO_SECONDS = ("step", "steps", "tokens_per_second", "rows_recomputed")
BESIDES = ""
"""The stage of what is no stage's."""
CURVES = ("reward", "length", "entropy")


@dataclass(frozen=True)
class Found:
    """One cell's folder."""

    study: StudyFile
    cell: Cell
    path: Path
    told: Mapping[str, Any]
    """What `study.json` says of it."""

    @cached_property
    def report(self) -> Mapping[str, Any]:
        """Its report; nothing where there is none."""
        return object_in(self.path / "report.json")

    @cached_property
    def state(self) -> tuple[str, str | None]:
        """Whether it is in the numbers (`finished`), and why not."""
        if changed := self.changed():
            return "outdated", f"its recipe was another: {', '.join(f'`{one}`' for one in changed[:5])}"
        known = self.told.get("state", "waiting")
        if known == "failed":
            return "failed", message(self.told.get("error"))
        if self.report.get("kind") == "run" and object_in(self.path / RUN_FILE).get("state") == "finished":
            return "finished", None
        return ("running" if known == "running" else "waiting"), None

    def changed(self) -> list[str]:
        """Settings in which the recipe that ran differs from the study's."""
        ran = object_in(self.path / RESOLVED)
        if not ran:
            return []
        now = json.loads(json.dumps(self.study.recipe(self.cell).resolved()))
        found = differences(dict(ran), now)
        return sorted(one for one in found if one.partition(".")[0] not in NO_PART and not pinned(one, now))

    def row(self) -> Row:
        """The cell, for the report."""
        state, error = self.state
        return {**self.about, "state": state, "error": error, "folder": str(self.cell.folder)}

    @property
    def about(self) -> Row:
        """Whose it is."""
        return {"arm": self.cell.arm, "seed": self.cell.seed}

    def evaluations(self) -> Iterator[Row]:
        """Every evaluation that its report names."""
        entry, end = self.study.entry(self.cell.arm), self.study.study.outcome
        places = {one["name"]: one for one in self.report["checkpoints"]}
        for block in self.report["sampling"]:
            for used in block["used_by"]:
                checkpoint, _, suite = used.partition(" on ")
                found = object_in(self.path / "evaluations" / f"{checkpoint}.{suite}" / "scores.json")
                if found:
                    place = {key: places.get(checkpoint, {}).get(key) for key in ("stage", "step")}
                    row = {"checkpoint": checkpoint, **place, **found, "settings": block["settings"]}
                    if checkpoint == "base":
                        yield {"arm": None, "seed": None, "point": "base", **row}
                    if checkpoint != "base" or entry == "base":  # the base is the entry of an arm that starts from it
                        yield {**self.about, "point": {end: "end", entry: "entry"}.get(checkpoint, checkpoint), **row}

    def probes(self) -> Iterator[Row]:
        """Every point of the probe."""
        for file in sorted((self.path / "probes").glob("*.json")):
            if found := object_in(file):
                yield (self.about if found["checkpoint"] != "base" else {"arm": None, "seed": None}) | dict(found)

    def training(self) -> Iterator[Row]:
        """What the curves of training show."""
        for row in lines(self.path / "metrics.jsonl"):
            own = {name: row[name] for name in CURVES if name in row}
            yield {**self.about, "stage": row["stage"], "step": row["step"], **own}

    def work(self) -> Iterator[Row]:
        """What each stage measured of its work; without counts where an older warmrl made it."""
        for stage in self.report["stages"]:
            part = "outcome" if stage["name"] == self.study.study.outcome else "warm"
            done = object_in(self.path / "stages" / stage["name"] / "done.json")
            yield {**self.about, "stage": stage["name"], "part": part, **(done.get("work") or {})}

    def timings(self) -> Iterator[Row]:
        """Seconds of each phase of each stage; of a stage without journal the whole."""
        sums: dict[tuple[str, str], float] = {}
        for row in lines(self.path / "timings.jsonl"):
            for name, value in row.items():
                if name not in NO_SECONDS and isinstance(value, int | float):
                    sums[row["stage"], name] = sums.get((row["stage"], name), 0.0) + value
        timed = {stage for stage, _ in sums}
        for stage in self.report["stages"]:
            if stage["name"] not in timed:
                sums[stage["name"], "stages without steps"] = stage["seconds"]
        if (rest := self.seconds_besides()) is not None:
            sums[BESIDES, "evaluation and the rest"] = rest
        order = [*(stage["name"] for stage in self.report["stages"]), BESIDES]
        for (stage, phase), seconds in sorted(sums.items(), key=lambda one: order.index(one[0][0])):
            yield {**self.about, "stage": stage, "phase": phase, "seconds": seconds}

    def seconds_besides(self) -> float | None:
        """Seconds of the run's own processes that no stage of its took: evaluation, probe, report, and starting.

        A stage that was there before the run was first started took none of them.
        """
        used, began = usage_of(self.path), seconds_of(object_in(self.path / RUN_FILE).get("started"))
        if used is None or began is None:
            return None
        done = {one["name"]: self.path / "stages" / one["name"] / "done.json" for one in self.report["stages"]}
        own = [one["seconds"] for one in self.report["stages"] if mtime(done[one["name"]]) >= began]
        return max(used.seconds - sum(own), 0.0)

    def environment(self) -> Row:
        """Where it ran, without the command line and the devices, which tell what a start made and not what it is."""
        found = object_in(self.path / "environment.json")
        return {key: value for key, value in found.items() if key not in ("command", "devices")}


def gather(study: StudyFile, folder: Path) -> Row:
    """Everything that the report of a study is made of, from what lies in its folder (`warmrl.report.study.build`)."""
    cells = found(study, folder)
    done = [one for one in cells if one.state[0] == "finished"]
    plan = plan_of(study, folder)
    evaluations = [row for one in done for row in one.evaluations()]
    base, doubts = once([row for row in evaluations if row["arm"] is None])
    probes = [row for one in done for row in one.probes()]
    first, others = once([row for row in probes if row["arm"] is None], "the probe of ")
    return {
        **settings(study),
        "arms": [arm(study, name) for name in study.arms],
        "cells": [one.row() for one in cells],
        "evaluations": [*base, *(row for row in evaluations if row["arm"] is not None)],
        "probe": [*first, *(row for row in probes if row["arm"] is not None)],
        "training": [row for one in done for row in one.training()],
        "work": [row for one in done for row in one.work()],
        "fairness": plan.get("fairness", []),
        "estimates": estimates(folder) if plan else [],
        "timings": [row for one in done for row in one.timings()],
        "environment": {str(one.cell.folder): one.environment() for one in done},
        "reproduce": reproduce(study, [one.cell for one in done]),
        "findings": [*doubts, *others, *findings(done)],
    }


def plan_of(study: StudyFile, folder: Path) -> Row:
    """The plan of this very study; nothing where there is none, or where the recipe was changed since."""
    plan = object_in(folder / PLAN)
    return plan if plan.get("study") in (None, key_of(study.whole())) else {}


def found(study: StudyFile, folder: Path) -> list[Found]:
    """Every cell of the study, with what lies in its folder; those whose state is `finished` are in the numbers."""
    told = {(one["arm"], one["seed"]): one for one in known_study(folder).get("cells", [])}
    return [Found(study, one, folder / one.folder, told.get((one.arm, one.seed), {})) for one in study.cells]


def estimates(folder: Path) -> list[Row]:
    """What the plan estimated beside what happened."""
    from warmrl.engine.study_plan import estimates_beside

    return estimates_beside(folder)


def settings(study: StudyFile) -> Row:
    """What the study declares, and how its intervals are made."""
    own, first = study.study, study.recipes[study.arms[0]].recipe.eval
    return {
        "name": study.name,
        **{key: getattr(own, key) for key in ("control", "seeds", "match", "outcome")},
        "domain": {"in": own.in_domain, "out": list(own.out_of_domain)},
        "interval": {"level": first.interval, "draws": first.bootstrap, "seed": first.seed, "method": first.method},
    }


def arm(study: StudyFile, name: str) -> Row:
    """An arm: its stages in order, and where its outcome stage starts."""
    recipe = study.recipes[name].recipe
    stages = [
        {
            "name": one,
            "use": recipe.stage[one].use,
            "kind": recipe.stage[one].kind,
            "steps": getattr(recipe.stage[one].config, "steps", None),
        }
        for one in stage_order(recipe)
    ]
    return {"name": name, "stages": stages, "entry": study.entry(name), "declared": study.declared[name]}


def once(rows: list[Row], of: str = "") -> tuple[list[Row], list[str]]:
    """The base, which every cell has, once for each suite; and a sentence where a cell has it otherwise."""
    kept: dict[str, Row] = {}
    other: dict[str, None] = {}
    for row in rows:
        if kept.setdefault(row["suite"], row)["metrics"] != row["metrics"]:
            other[row["suite"]] = None
    doubts = [
        f"The base has other scores on {of}`{suite}` in some cells; those of the first are shown." for suite in other
    ]
    return list(kept.values()), doubts


def findings(cells: list[Found]) -> Iterator[str]:
    """What the runs found on the way, once each, with the runs that found it where not all did.

    Not what a run's own probe flagged: the study judges all points of all runs together.
    """
    found: dict[str, list[str]] = {}
    for one in cells:
        flagged = tuple(flag["sentence"] for flag in one.report.get("probe", {}).get("flags", []))
        for text in one.report.get("findings", []):
            if not text.startswith(flagged):
                found.setdefault(text, []).append(str(one.cell))
    for text, runs in found.items():
        yield text if len(runs) == len(cells) else f"{text} ({'; '.join(runs)})"


def reproduce(study: StudyFile, done: list[Cell]) -> list[str]:
    """Commands: the study, one cell, and the arms' finished runs at the end and at RL entry."""
    own = study.study
    other = next((one for one in study.arms if one != own.control), own.control)
    again = f'warmrl run "$STUDY/{MERGED}" --out "$STUDY"'
    commands = [
        f'STUDY="${{WARMRL_HOME:-runs}}/{study.name}"  # from the folder in which it was started; or what `--out` was',
        again,
        f"{again} --only arm={other},seed={own.seeds[0]}",
    ]
    arms = {name: [one for one in done if one.arm == name] for name in study.arms}
    arms = {name: cells for name, cells in arms.items() if cells}
    control = f" --control {own.control}" if own.control in arms else ""
    ends, entries = dict.fromkeys(arms, own.outcome), {name: study.entry(name) for name in arms}
    for points in (ends, entries) if len(arms) > 1 else ():
        sides = [
            f'"{name}={",".join(f"$STUDY/{one.folder}#{points[name]}" for one in cells)}"'
            for name, cells in arms.items()
        ]
        commands.append(f"warmrl compare {' '.join(sides)}{control}")
    return commands


def message(error: str | None) -> str | None:
    """The last line of an error, with files by their names: a report is no place for the paths of a machine."""
    lines = (error or "").strip().splitlines()
    return re.sub(r"(?<![\w.~-])~?(?:/[\w.@+-]+)+/([\w.@+-]+)", r"\1", lines[-1].strip()) if lines else None


def pinned(path: str, now: Mapping[str, Any]) -> bool:
    """Whether the recipe leaves open what a run wrote down at this path."""
    here: Any = now
    for name in path.split("."):
        here = here.get(name) if isinstance(here, Mapping) else None
    return path.startswith(PINNED) and here is None


def lines(file: Path) -> Iterator[Row]:
    """Every whole row of a journal."""
    text = file.read_bytes() if file.exists() else b""
    for line in text[: text.rfind(b"\n") + 1].splitlines():
        yield json.loads(line)
