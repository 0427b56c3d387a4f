"""From a recipe with arms to its cells: one checked recipe for each arm and seed, and clear refusals. No torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from warmrl.domain.errors import RecipeError
from warmrl.domain.recipe import Recipe
from warmrl.domain.stages import MethodConfig
from warmrl.domain.study import ArmName, StudyTable
from warmrl.engine.recipe_errors import explain
from warmrl.engine.recipe_file import NAMED, STUDY, RecipeFile, assign, merged, overlay, validated
from warmrl.engine.recipe_rules import inputs_of, stage_config

OF_THE_STUDY = ("version", "name", "extends", "plugins", "seed", "study", "arm")
"""Keys that an arm cannot lay over: they are the whole study's."""
TAKEN = ("browser",)
"""Folders of a study that are no arm's; its files have a dot in their names, which an arm's name has not."""
ARM_NAME = TypeAdapter[str](ArmName)


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
        table = deepcopy(overlay(self.table, self.overlays[cell.arm]))
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
    problems += wide_problems("study.declared", study.declared)
    if problems:
        raise RecipeError(f"{path}: " + " ".join(problems))
    declared = {name: study.declared | arm.pop("declared", {}) for name, arm in overlays.items()}
    found = StudyFile(path, text, table, study, overlays, declared)
    if wrong := list(shared_problems(found)):
        raise RecipeError(f"{path}: " + " ".join(wrong))
    return found


def arm_problems(overlays: Mapping[str, Any]) -> Iterator[str]:
    """Arms that are no overlays, or whose folders are one where a filesystem takes `a` and `A` for the same."""
    folders: dict[str, str] = {}
    for name, arm in overlays.items():
        if (other := folders.setdefault(name.casefold(), name)) != name:
            yield f"`arm.{name:.80}` and `arm.{other:.80}` differ in capitals alone; give one another name."
        if not isinstance(arm, dict):
            yield f"`arm.{name}` is {arm!r:.40}; an arm is a table of what it changes, as `[arm.{name}.stage.warm]`."
            continue
        yield from arm_name_problems(name)
        for key in OF_THE_STUDY:
            if key in arm:
                hint = "seeds are `study.seeds`" if key == "seed" else "it is the whole study's"
                yield f"`arm.{name}.{key}`: an arm cannot change `{key}`, {hint}; take it out of the arm."
        reasons = arm.get("declared", {})
        if not isinstance(reasons, dict) or not all(isinstance(one, str) and one.strip() for one in reasons.values()):
            yield f'`arm.{name}.declared` is a table of TOML paths and reasons, as `match = "longer, by design"`.'
            continue
        yield from wide_problems(f"arm.{name}.declared", reasons)


def wide_problems(where: str, declared: Mapping[str, str]) -> Iterator[str]:
    """Declarations that would explain whatever differs."""
    for path in declared:
        if path in NAMED:
            yield f"`{where}` has `{path}`, which would explain all `[{path}.*]` at once; name one, or a setting of it."


def arm_name_problems(name: str) -> Iterator[str]:
    """An arm's name that is none, or whose folder the study itself has."""
    try:
        ARM_NAME.validate_python(name)
    except ValidationError:
        yield (
            f"`arm.{name:.80}`: an arm's name has letters (a to z), digits, `_` and `-` only, starts with a letter or "
            "`_`, has at most 64 of them, and names a folder; give it another."
        )
    if name.casefold() in TAKEN:
        yield f"`arm.{name}`: the study's folder has a `{name.casefold()}` of its own; give the arm another name."


def name_problems(table: Mapping[str, Any], study: StudyTable, overlays: Mapping[str, Any]) -> Iterator[str]:
    """A recipe without a name, a control that is no arm."""
    if not isinstance(table.get("name"), str):
        yield "`name` is missing; it names the study's folder."
    if study.control not in overlays:
        yield f"`study.control` is `{study.control}`, which is no arm; there are: {', '.join(overlays)}."


def shared_problems(found: StudyFile) -> Iterator[str]:
    """Suites, an outcome stage, or the evaluations of entry and end that some arm lacks."""
    recipes = {arm: file.recipe for arm, file in found.recipes.items()}
    yield from outcome_problems(found, recipes)
    for field, names in (("in_domain", [found.study.in_domain]), ("out_of_domain", found.study.out_of_domain)):
        for one in names:
            lacking = [f"`{arm}`" for arm, recipe in recipes.items() if one not in recipe.suite]
            if lacking:
                yield f"`study.{field}` names `{one}`, which is no `[suite.*]` table in {', '.join(lacking)}."
    if found.study.in_domain in found.study.out_of_domain:
        yield f"`study.out_of_domain` names `{found.study.in_domain}`, the `study.in_domain`; it is one or the other."


def leading_to(recipe: Recipe, stage: str) -> set[str]:
    """A stage, and all stages that it needs."""
    found = {stage}
    for one in inputs_of(recipe, stage):
        found |= leading_to(recipe, one)
    return found


def outcome_problems(found: StudyFile, recipes: Mapping[str, Recipe]) -> Iterator[str]:
    """An outcome that does not train, or whose start or end is not evaluated."""
    outcome, without = found.study.outcome, []
    for arm, one in recipes.items():
        if outcome not in one.stage or not isinstance(one.stage[outcome].config, MethodConfig):
            without.append(f"`{arm}`")
            continue
        if unused := sorted(set(one.stage) - leading_to(one, outcome)):
            yield (
                f"In the arm `{arm}` nothing leads from {' and '.join(f'`{name}`' for name in unused)} to `{outcome}`, "
                f"which starts from `{found.entry(arm)}`: name it in `stage.{outcome}.policy`, or take it away "
                f"(`[arm.{arm}.stage]` with `{unused[0]} = false`)."
            )
        wanted = dict.fromkeys([found.entry(arm), outcome])
        missing = [name for name in wanted if one.eval.at and name not in one.eval.at]
        if missing:
            yield (
                f"In the arm `{arm}` `eval.at` lacks {' and '.join(f'`{name}`' for name in missing)}: what `{outcome}` "
                f"starts from and what it makes are evaluated in every arm; add it, or leave `eval.at` empty."
            )
        elif found.entry(arm) not in (one.eval.at or ["base", *one.stage]):
            yield (
                f"In the arm `{arm}` `{outcome}` starts from `{found.entry(arm)}`, and an empty `eval.at` is the base "
                f'and the end of every stage; name it there: `eval.at = ["base", "{found.entry(arm)}", '
                f'"{outcome}"]`.'
            )
    if without:
        yield (
            f"`study.outcome` is `{outcome}`, which all arms end with, and no stage of that name trains in "
            f"{', '.join(without)}."
        )
