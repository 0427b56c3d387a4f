"""From a recipe with arms to its cells: one checked recipe for each arm and seed, and clear refusals. No torch."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from warmrl.domain.errors import RecipeError
from warmrl.domain.study import StudyTable
from warmrl.engine.recipe_errors import explain
from warmrl.engine.recipe_file import STUDY, RecipeFile, assign, merged, overlay, validated
from warmrl.engine.recipe_rules import stage_config

OF_THE_STUDY = ("version", "name", "extends", "plugins", "seed", "study", "arm")
"""Keys that an arm cannot lay over: they are the whole study's."""


@dataclass(frozen=True, order=True)
class Cell:
    """One run of a study: an arm with a seed."""

    seed: int
    arm: str

    @property
    def folder(self) -> Path:
        """Where it is in the study's folder."""
        return Path(self.arm) / f"seed-{self.seed}"

    def __str__(self) -> str:
        return f"{self.arm}, seed {self.seed}"


@dataclass(frozen=True)
class StudyFile:
    """A study as it was read: the file, its text, the recipe's own table, `[study]`, and the arms' overlays."""

    path: Path
    text: str
    table: dict[str, Any]
    study: StudyTable
    overlays: dict[str, dict[str, Any]]
    """Of each arm, in the file's order, without its `declared`."""
    declared: dict[str, dict[str, str]]
    """What each arm declares: the study's own, and the arm's."""

    @property
    def name(self) -> str:
        """The study's name, and that of its folder."""
        return str(self.table["name"])

    @property
    def arms(self) -> list[str]:
        """The arms, in the file's order."""
        return list(self.overlays)

    @property
    def cells(self) -> list[Cell]:
        """Every arm with every seed, all arms of the first seed first: what is there early says most."""
        return [Cell(seed, arm) for seed in self.study.seeds for arm in self.arms]

    @cached_property
    def recipes(self) -> dict[str, RecipeFile]:
        """Each arm's recipe, with the first seed. Raises `RecipeError` with what is wrong with any of them."""
        return {arm: self.recipe(Cell(self.study.seeds[0], arm)) for arm in self.arms}

    def recipe(self, cell: Cell) -> RecipeFile:
        """The recipe of one cell. Raises `RecipeError` that says in which arm."""
        table = json.loads(json.dumps(overlay(self.table, self.overlays[cell.arm])))
        table |= {"name": f"{self.name}-{cell.arm}-{cell.seed}".replace("--", "-minus-"), "seed": cell.seed}
        try:
            return validated(self.path, self.text, table)
        except RecipeError as error:
            raise RecipeError(f"In the arm `{cell.arm}` of {error}") from None

    def whole(self) -> dict[str, Any]:
        """The study as one table without a parent, `--set` applied: what `read` makes this study of again."""
        arms = {arm: {**over, "declared": self.declared[arm]} for arm, over in self.overlays.items()}
        plugins = [str((self.path.parent / file).resolve()) for file in self.table.get("plugins", [])]
        return self.table | {"plugins": plugins, "study": self.study.model_dump(mode="json"), "arm": arms}

    def entry(self, arm: str) -> str:
        """The checkpoint that the arm's outcome stage starts from (`warm`, `base`)."""
        return stage_config(self.recipes[arm].recipe.stage[self.study.outcome]).policy


def is_study(table: Mapping[str, Any]) -> bool:
    """Whether a recipe's table has arms."""
    return any(key in table for key in STUDY)


def read(path: Path, sets: Sequence[str] = ()) -> StudyFile | None:
    """Read and check a study and all its arms; None for a recipe without arms. Raises `RecipeError`."""
    text, table = merged(path)
    for assignment in sets:
        assign(table, assignment)
    return checked(path, text, table) if is_study(table) else None


def checked(path: Path, text: str, table: dict[str, Any]) -> StudyFile:
    """The study of a whole table. Raises `RecipeError` with what is wrong with it or with any of its arms."""
    raw, arms = table.pop("study", None), table.pop("arm", None)
    if raw is None or not isinstance(arms, dict) or not arms:
        missing = "no `[study]` table (`seeds`, `control`, `in_domain`)" if raw is None else "no `[arm.NAME]` table"
        raise RecipeError(f"{path}: a study takes both `[study]` and arms, and this has {missing}.")
    try:
        study = StudyTable.model_validate(raw)
    except ValidationError as error:
        raise RecipeError(explain(path, error, StudyTable, "study")) from None
    overlays = {name: dict(arm) if isinstance(arm, dict) else arm for name, arm in arms.items()}
    problems = [*arm_problems(overlays), *name_problems(table, study, overlays)]
    if problems:
        raise RecipeError(f"{path}: " + " ".join(problems))
    declared = {name: study.declared | arm.pop("declared", {}) for name, arm in overlays.items()}
    found = StudyFile(path, text, table, study, overlays, declared)
    if wrong := list(shared_problems(found)):
        raise RecipeError(f"{path}: " + " ".join(wrong))
    return found


def arm_problems(overlays: Mapping[str, Any]) -> Iterator[str]:
    """Arms that are no overlays."""
    for name, arm in overlays.items():
        if not isinstance(arm, dict):
            yield f"`arm.{name}` is {arm!r:.40}; an arm is a table of what it changes, as `[arm.{name}.stage.warm]`."
            continue
        if not name.isidentifier() and not name.replace("-", "_").isidentifier():
            yield f"`arm.{name}`: an arm's name has letters, digits, `_` and `-` only, and names a folder."
        for key in OF_THE_STUDY:
            if key in arm:
                hint = "seeds are `study.seeds`" if key == "seed" else "it is the whole study's"
                yield f"`arm.{name}.{key}`: an arm cannot change `{key}`, {hint}; take it out of the arm."
        reasons = arm.get("declared", {})
        if not isinstance(reasons, dict) or not all(isinstance(one, str) and one for one in reasons.values()):
            yield f'`arm.{name}.declared` is a table of TOML paths and reasons, as `match = "longer, by design"`.'


def name_problems(table: Mapping[str, Any], study: StudyTable, overlays: Mapping[str, Any]) -> Iterator[str]:
    """A recipe without a name, a control that is no arm."""
    if not isinstance(table.get("name"), str):
        yield "`name` is missing; it names the study's folder."
    if study.control not in overlays:
        yield f"`study.control` is `{study.control}`, which is no arm; there are: {', '.join(overlays)}."


def shared_problems(found: StudyFile) -> Iterator[str]:
    """Suites and an outcome stage that some arm lacks."""
    outcome = found.study.outcome
    recipes = {arm: file.recipe for arm, file in found.recipes.items()}
    without = [a for a, one in recipes.items() if outcome not in one.stage or one.stage[outcome].kind == "curator"]
    if without:
        yield (
            f"`study.outcome` is `{outcome}`, which all arms end with, and no training stage has that name in "
            f"{', '.join(f'`{arm}`' for arm in without)}."
        )
    for field, names in (("in_domain", [found.study.in_domain]), ("out_of_domain", found.study.out_of_domain)):
        for one in names:
            lacking = [f"`{arm}`" for arm, recipe in recipes.items() if one not in recipe.suite]
            if lacking:
                yield f"`study.{field}` names `{one}`, which is no `[suite.*]` table in {', '.join(lacking)}."
