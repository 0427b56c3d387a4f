"""`warmrl recipe`: check, show, diff, schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from warmrl.engine.study_file import StudyFile

app = typer.Typer(help="Check, show and compare recipes.", no_args_is_help=True)
File = Annotated[Path, typer.Argument(help="A recipe.", metavar="RECIPE")]
Sets = Annotated[list[str] | None, typer.Option("--set", metavar="K=V", help="Change a key.")]


@app.command()
def check(
    recipe: File,
    sets: Sets = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Say what is wrong with a recipe, without running anything."""
    from warmrl.engine import recipe_file, study_file

    study = study_file.read(recipe, sets or [])
    if study is not None:
        arms, seeds, cells = len(study.arms), len(study.study.seeds), len(study.cells)
        about = f"{recipe} is a valid study (`{study.name}`, {arms} arms x {seeds} seeds, {cells} cells)."
        print(json.dumps({"study": study.name, "valid": True, "cells": cells}) if as_json else about)  # noqa: T201
        return
    file = recipe_file.read(recipe, sets or [])
    if as_json:
        print(json.dumps({"recipe": file.recipe.name, "valid": True}))  # noqa: T201
    else:
        print(f"{recipe} is a valid recipe (`{file.recipe.name}`, {len(file.recipe.stage)} stages).")  # noqa: T201


@app.command()
def show(
    recipe: File,
    sets: Sets = None,
    arm: Annotated[str | None, typer.Option(help="Of a study: this arm's recipe.", metavar="ARM")] = None,
    seed: Annotated[int | None, typer.Option(help="Of a study: with this seed (default: the first).")] = None,
) -> None:
    """Print a recipe with every default written out, as JSON that `warmrl run` takes back; of a study each arm's."""
    from warmrl.domain.errors import UsageError
    from warmrl.engine import recipe_file, study_file

    study = study_file.read(recipe, sets or [])
    if study is None:
        if arm is not None or seed is not None:
            raise UsageError(f"{recipe} has no arms; leave out `--arm` and `--seed`.")
        print(json.dumps(recipe_file.read(recipe, sets or []).resolved(), indent=1))  # noqa: T201
        return
    at = study.study.seeds[0] if seed is None else seed
    arms = {one: resolved(study, one, at) for one in ([arm] if arm else study.arms)}
    print(json.dumps(arms[arm] if arm else arms, indent=1))  # noqa: T201


@app.command()
def diff(
    first: File,
    second: Annotated[Path | None, typer.Argument(help="Another recipe.", metavar="RECIPE")] = None,
    arms: Annotated[
        str | None, typer.Option(help="Of one study: the two arms that are compared.", metavar="ARM,ARM")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Say in which keys two recipes, or two arms of a study, differ, defaults written out."""
    from warmrl.engine import recipe_file

    if arms is not None and second is None:
        tables = [flat(table | {"name": ""}) for table in two_arms(first, arms)]
    else:
        tables = [flat(recipe_file.read(one).resolved()) for one in (first, other_recipe(second, arms))]
    keys = sorted(key for key in tables[0].keys() | tables[1].keys() if tables[0].get(key) != tables[1].get(key))
    if as_json:
        print(json.dumps({key: [table.get(key) for table in tables] for key in keys}))  # noqa: T201
        return
    for key in keys:
        one, other = (json.dumps(table[key]) if key in table else "(absent)" for table in tables)
        print(f"{key}: {one} -> {other}")  # noqa: T201


def other_recipe(second: Path | None, arms: str | None) -> Path:
    """The second recipe of a difference. Raises `UsageError`."""
    from warmrl.domain.errors import UsageError

    if second is None or arms is not None:
        raise UsageError("`warmrl recipe diff` takes two recipes, or one study and `--arms ARM,ARM`.")
    return second


def two_arms(recipe: Path, arms: str) -> list[dict[str, Any]]:
    """The resolved recipes of two arms of a study, with the same seed. Raises `UsageError`."""
    from warmrl.domain.errors import UsageError
    from warmrl.engine import study_file

    study, names = study_file.read(recipe), arms.split(",")
    if study is None or len(names) != 2:
        raise UsageError(f"`--arms {arms}`: two arms of a study, with a comma between; {recipe} is that study.")
    return [resolved(study, name.strip(), study.study.seeds[0]) for name in names]


def resolved(study: StudyFile, arm: str, seed: int) -> dict[str, Any]:
    """One cell's recipe with every default written out. Raises `UsageError`."""
    from warmrl.engine.study_cells import cell_of

    return study.recipe(cell_of(study, f"{arm},{seed}")).resolved()


@app.command()
def schema() -> None:
    """Print the JSON Schema of recipes with the plugins that are installed."""
    from warmrl.engine.recipe_schema import schema as build

    print(json.dumps(build(), indent=1))  # noqa: T201


def flat(value: object, at: str = "") -> dict[str, object]:
    """A nested table by dotted keys."""
    if isinstance(value, dict):
        return {k: v for name, one in value.items() for k, v in flat(one, f"{at}.{name}" if at else name).items()}
    return {at: value}
