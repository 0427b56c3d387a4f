"""Which cells of a study are asked for, and which are finished already, so that nothing is started. No torch."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from warmrl.domain.errors import UsageError
from warmrl.engine.entries import CURATED, Entries, policy_folder
from warmrl.engine.grading import lacking
from warmrl.engine.handoff import handoff_file
from warmrl.engine.run_folder import RESOLVED, differences, resolved
from warmrl.engine.run_place import known_run, object_in
from warmrl.engine.storage import MANIFEST
from warmrl.engine.study_entries import StudyEntries
from warmrl.engine.study_file import Cell, StudyFile


def chosen(study: StudyFile, only: Sequence[str]) -> list[Cell]:
    """The cells that `--only` asks for, in the study's order: those of any of the selections; all without one.

    A selection is `arm=opd,seed=3`, `arm=opd|sft` or `seed=3`. Raises `UsageError` for one that isn't, or for an arm
    or a seed that the study does not have.
    """
    selections = [selection(study, one) for one in only]
    return [one for one in study.cells if not selections or any(one in selected for selected in selections)]


def selection(study: StudyFile, text: str) -> set[Cell]:
    """The cells of one selection."""
    wanted: dict[str, set[str]] = {"arm": set(), "seed": set()}
    there = {"arm": study.arms, "seed": [str(seed) for seed in study.study.seeds]}
    for part in text.split(","):
        name, equals, values = (one.strip() for one in part.partition("="))
        if not equals or name not in wanted:
            raise UsageError(
                f"`--only {text}`: write `arm=NAME`, `seed=NUMBER`, or both with a comma between; several values with "
                "`|`, or the option once more."
            )
        for value in values.split("|"):
            if value.strip() not in there[name]:
                raise UsageError(
                    f"`--only {text}`: the study `{study.name}` has no {name} `{value.strip()}`; there are: "
                    f"{', '.join(there[name])}."
                )
            wanted[name].add(value.strip())
    arms, seeds = wanted["arm"] or set(there["arm"]), wanted["seed"] or set(there["seed"])
    return {one for one in study.cells if one.arm in arms and str(one.seed) in seeds}


def cell_of(study: StudyFile, text: str) -> Cell:
    """The cell that `ARM,SEED` names. Raises `UsageError`."""
    for one in study.cells:
        if text == f"{one.arm},{one.seed}":
            return one
    raise UsageError(
        f"The study `{study.name}` has no cell `{text}`; its arms are {', '.join(study.arms)}, its seeds "
        f"{', '.join(map(str, study.study.seeds))}."
    )


@dataclass
class Known:
    """Looks the cells of a study up in their run folders and in the store."""

    study: StudyFile
    folder: Path
    store: Path

    @cached_property
    def entries(self) -> StudyEntries:
        """What the cells' results are."""
        return StudyEntries(self.study, self.store)

    def check(self) -> None:
        """Refuse an arm whose model, teacher or data is nowhere or unreadable. Raises `UsageError`, `DataError`."""
        for arm, entries in self.entries.arms.items():
            try:
                entries.check_models()
                if entries.can_tell():
                    entries.folders()
            except UsageError as error:
                raise type(error)(f"In the arm `{arm}`: {error}") from None

    def why(self, cell: Cell) -> str | None:
        """Why a cell has to run, in words; None when it is finished, and all that it made is still there."""
        folder = self.folder / cell.folder
        run = known_run(folder)
        if run.get("state") != "finished":
            if run.get("state") == "failed":
                return "it failed before"
            return "it was begun and is not finished" if run else "it is new"
        entries = self.entries.of(cell)
        if not entries.can_tell():
            return "weights of a model or teacher are not here"
        entries.folders()  # opens the data, whose revisions the resolved recipe has
        found = differences(object_in(folder / RESOLVED), json.loads(json.dumps(resolved(entries))))
        # a plugin file that matters is in the keys of what it makes, below
        if changed := sorted(one for one in found if one.partition(".")[0] != "plugins"):
            return "its recipe changed: " + ", ".join(f"`{one}`" for one in changed)
        return next(gone(entries, folder, run), None)


def gone(entries: Entries, folder: Path, run: dict[str, Any]) -> Iterator[str]:
    """What a finished run made and is not there any more, or not under its key.

    Weights are not read: whoever loads a policy finds out whether it is whole.
    """
    for stage in entries.order():
        if run.get("stages", {}).get(stage, {}).get("key") != entries.stage_key(stage):
            yield f"what its stage `{stage}` depends on changed"
        if not all(file.is_file() for file in stage_files(entries, stage)):
            yield f"its stage `{stage}` is not in the store any more"
    for checkpoint in entries.checkpoints():
        for suite in entries.file.recipe.suite:
            if not answered(entries, checkpoint, suite):
                yield f"answers of `{checkpoint}` to `{suite}`, or their grades, are not in the store any more"
    for point in entries.probes():
        probe = entries.file.recipe.probe
        there = (folder / "probes" / f"{point}.json").is_file()
        if probe and not (there and answered(entries, point, probe.on, probe.metrics, probe.samples)):
            yield f"the probe at `{point}` is not there any more"
    if not (folder / "report.json").is_file():
        yield "its report is gone"


def answered(entries: Entries, checkpoint: str, suite: str, *how: Any) -> bool:
    """Whether every answer is there, and judged by every grader of the suite."""
    draws, registry = entries.draws(checkpoint, suite, *how), entries.file.registry
    return entries.sampled(checkpoint, suite, *how) and not any(
        lacking(one, entries.suite(suite), registry) for one in draws
    )


def stage_files(entries: Entries, stage: str) -> Iterator[Path]:
    """The files that say that a stage's result is there, with every policy of it that something refers to."""
    folder = entries.stage_folder(stage)
    yield folder / "done.json"
    if entries.file.recipe.stage[stage].kind == "curator":
        yield folder / CURATED
        return
    steps = object_in(folder / "done.json").get("steps", 0)
    for one in [None, *(step for step in entries.kept_steps(stage) if step < steps)]:
        yield folder / policy_folder(one) / MANIFEST
    if entries.rule(stage):
        yield handoff_file(entries, stage)
