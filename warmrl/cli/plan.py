"""`warmrl plan`: what a recipe would run and what it would reuse, before anything is spent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from warmrl.engine.recipe_file import RecipeFile


def plan(
    recipe: Annotated[Path, typer.Argument(help="The recipe.", metavar="RECIPE")],
    out: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="The run folder.")] = None,
    sets: Annotated[list[str] | None, typer.Option("--set", metavar="K=V", help="Change a key.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Say what would run and what would be reused."""
    from warmrl.engine import recipe_file

    show_plan(recipe_file.read(recipe, sets or []), out, as_json)


def show_plan(file: RecipeFile, out: Path | None, as_json: bool) -> None:
    """Print the plan of a recipe."""
    from warmrl.cli.run import folder_of, start_checks

    folder = folder_of(file, out)
    start_checks(file, folder)
    from warmrl.engine.preview import preview

    found = preview(file)
    if as_json:
        print(json.dumps(found | {"run": str(folder)}))  # noqa: T201
        return
    console = Console()
    stages = Table("stage", "uses", "from", "data", "steps", "completions", "what will happen", title="Stages")
    for one in found["stages"]:
        stages.add_row(*(str(one[key]) for key in ("stage", "use", "policy", "data", "steps", "completions", "why")))
    console.print(stages)
    points = Table("checkpoint", "suite", "problems", "answers", "what will happen", title="Evaluations")
    for one in found["evaluations"]:
        points.add_row(*(str(one[key]) for key in ("checkpoint", "suite", "problems", "answers", "why")))
    console.print(points)
    for sentence in found["findings"]:
        console.print(sentence, highlight=False)
