"""`warmrl plan`: what a recipe would run, reuse, take and need, before anything is spent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from warmrl.engine.recipe_file import RecipeFile


def plan(
    recipe: Annotated[Path, typer.Argument(help="The recipe.", metavar="RECIPE")],
    out: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="The run folder.")] = None,
    sets: Annotated[list[str] | None, typer.Option("--set", metavar="K=V", help="Change a key.")] = None,
    device: Annotated[
        str | None,
        typer.Option(help="Plan for cpu, h200, h100, a100, l40s or rtx4090 (default: what is here).", metavar="NAME"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Say what would run and what would be reused, and what memory, time and disk it takes; refuse what cannot fit."""
    from warmrl.engine import recipe_file

    show_plan(recipe_file.read(recipe, sets or []), out, as_json, device)


def show_plan(file: RecipeFile, out: Path | None, as_json: bool, device: str | None = None) -> None:
    """Print the plan of a recipe. Raises `UsageError` for what cannot fit, after the tables that show it."""
    from warmrl.cli.run import folder_of, start_checks

    folder = folder_of(file, out)
    start_checks(file, folder)
    found = look(file, device) | {"run": str(folder)}
    if as_json:
        print(json.dumps(found))  # noqa: T201
    else:
        show(found)
    if found["resources"]["refused"]:
        from warmrl.domain.errors import UsageError

        raise UsageError(" ".join(found["resources"]["refused"]))


def look(file: RecipeFile, device: str | None) -> dict[str, Any]:
    """The plan as plain values. The model and the teachers come first: nothing else matters if one is none."""
    from warmrl.engine.entries import Entries
    from warmrl.engine.forecast.machines import machine
    from warmrl.engine.forecast.report import resources_report
    from warmrl.engine.forecast.resources import Resources
    from warmrl.engine.preview import preview
    from warmrl.engine.run_place import home

    entries = Entries(file, home() / "store")
    resources = resources_report(Resources(entries, machine(device, file.recipe.launch.processes)))
    return preview(entries) | {"resources": resources}


def show(found: dict[str, Any]) -> None:
    """Print the plan for a person."""
    from warmrl.cli.plan_tables import memory_table, sentences, work_table

    console = Console()
    stages = Table("stage", "uses", "from", "data", "steps", "completions", "what will happen", title="Stages")
    for one in found["stages"]:
        stages.add_row(*(str(one[key]) for key in ("stage", "use", "policy", "data", "steps", "completions", "why")))
    console.print(stages)
    points = Table("checkpoint", "suite", "problems", "answers", "what will happen", title="Evaluations")
    for one in found["evaluations"]:
        points.add_row(*(str(one[key]) for key in ("checkpoint", "suite", "problems", "answers", "why")))
    console.print(points)
    resources = found["resources"]
    if resources["stages"]:
        console.print(memory_table(resources))
        console.print(work_table(resources))
    for sentence in (*found["findings"], *sentences(resources)):
        console.print(sentence, highlight=False, markup=False)
