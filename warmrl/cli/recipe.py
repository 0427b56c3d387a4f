"""`warmrl recipe`: check, show, diff, schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

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
    from warmrl.engine import recipe_file

    file = recipe_file.read(recipe, sets or [])
    if as_json:
        print(json.dumps({"recipe": file.recipe.name, "valid": True}))  # noqa: T201
    else:
        print(f"{recipe} is a valid recipe (`{file.recipe.name}`, {len(file.recipe.stage)} stages).")  # noqa: T201


@app.command()
def show(recipe: File, sets: Sets = None) -> None:
    """Print a recipe with every default written out, as JSON that `warmrl run` takes back."""
    from warmrl.engine import recipe_file

    print(json.dumps(recipe_file.read(recipe, sets or []).resolved(), indent=1))  # noqa: T201


@app.command()
def diff(
    first: File,
    second: File,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Say in which keys two recipes differ, defaults written out."""
    from warmrl.engine import recipe_file

    tables = [flat(recipe_file.read(one).resolved()) for one in (first, second)]
    keys = sorted(key for key in tables[0].keys() | tables[1].keys() if tables[0].get(key) != tables[1].get(key))
    if as_json:
        print(json.dumps({key: [table.get(key) for table in tables] for key in keys}))  # noqa: T201
        return
    for key in keys:
        one, other = (json.dumps(table[key]) if key in table else "(absent)" for table in tables)
        print(f"{key}: {one} -> {other}")  # noqa: T201


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
