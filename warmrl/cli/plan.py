"""`warmrl plan`: what a recipe would run, reuse, take and need, before anything is spent."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from warmrl.engine.recipe_file import RecipeFile
    from warmrl.engine.study_file import StudyFile


def plan(
    recipe: Annotated[Path, typer.Argument(help="The recipe.", metavar="RECIPE")],
    out: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="The run folder.")] = None,
    sets: Annotated[list[str] | None, typer.Option("--set", metavar="K=V", help="Change a key.")] = None,
    device: Annotated[
        str | None,
        typer.Option(help="Plan for cpu, h200, h100, a100, l40s or rtx4090 (default: what is here).", metavar="NAME"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    measure: Annotated[
        bool | None,
        typer.Option(help="Time a few real steps and throw them away (default: for small models on a CPU)."),
    ] = None,
    jobs: Annotated[int, typer.Option(help="Of a study: cells side by side.", min=1)] = 1,
    accept: Annotated[
        list[str] | None,
        typer.Option(help="Of a study: a difference between arms that is meant, by its TOML path.", metavar="PATH"),
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(help="Of a study: these cells alone: arm=opd,seed=3.", metavar="arm=A,seed=S")
    ] = None,
) -> None:
    """Say what would run and what would be reused, and what memory, time and disk it takes; refuse what cannot fit.

    Of a study: every cell, and in what its arms differ beyond their warm starts.
    """
    show_any(recipe, out, sets or [], as_json, device, measure, jobs, accept or [], only or [])


def show_any(
    recipe: Path,
    out: Path | None,
    sets: Sequence[str],
    as_json: bool,
    device: str | None = None,
    measure: bool | None = None,
    jobs: int = 1,
    accept: Sequence[str] = (),
    only: Sequence[str] = (),
) -> None:
    """Print the plan of a recipe or of a study."""
    from warmrl.cli.run import refuse_of_a_study
    from warmrl.engine import recipe_file, study_file
    from warmrl.engine.run_place import claim, home

    study = study_file.read(recipe, sets)
    if study is None:
        refuse_of_a_study(recipe, {"jobs": jobs > 1, "only": only, "accept": accept})
        show_plan(recipe_file.read(recipe, sets), out, as_json, device, measure=measure)
    else:
        claim(out or home() / study.name, study.name, study=True)
        show_study(study, as_json, device, measure, jobs, accept, only)


def show_study(
    study: StudyFile,
    as_json: bool,
    device: str | None,
    measure: bool | None,
    jobs: int,
    accept: Sequence[str],
    only: Sequence[str],
) -> None:
    """Print the plan of a study. Raises, after the tables that show it, `RecipeError` for differences between arms that
    nothing explains, and `UsageError` for what cannot fit.
    """
    from warmrl.cli.study_plan_tables import budget_table, cells_table, fairness_table, sentences
    from warmrl.domain.errors import UsageError
    from warmrl.engine.fairness import refuse_unexplained
    from warmrl.engine.run_place import home
    from warmrl.engine.study_cells import chosen
    from warmrl.engine.study_plan import study_plan

    cells = chosen(study, only)
    found = study_plan(study, home() / "store", device, accept, jobs=jobs, measure=measure, only=cells)
    if as_json:
        print(json.dumps(found))  # noqa: T201
    else:
        console = Console()
        for table in (cells_table, fairness_table, budget_table):
            console.print(table(found))
        for sentence in sentences(found):
            console.print(sentence, highlight=False, markup=False)
    refuse_unexplained(found["fairness"], study.path)
    if found["refused"]:
        raise UsageError(" ".join(found["refused"]))


def show_plan(
    file: RecipeFile, out: Path | None, as_json: bool, device: str | None = None, *, measure: bool | None = False
) -> None:
    """Print the plan of a recipe. Raises `UsageError` for what cannot fit, after the tables that show it."""
    from warmrl.cli.run import folder_of, start_checks

    folder = folder_of(file, out)
    start_checks(file, folder)
    found = look(file, device, measure=measure) | {"run": str(folder)}
    if as_json:
        print(json.dumps(found))  # noqa: T201
    else:
        show(found)
    if found["resources"]["refused"]:
        from warmrl.domain.errors import UsageError

        raise UsageError(" ".join(found["resources"]["refused"]))


def look(file: RecipeFile, device: str | None, *, measure: bool | None = False) -> dict[str, Any]:
    """The plan as plain values. The model and the teachers come first: nothing else matters if one is none."""
    from warmrl.engine.entries import Entries
    from warmrl.engine.forecast.estimates import with_speeds
    from warmrl.engine.forecast.machines import machine
    from warmrl.engine.forecast.report import resources_report
    from warmrl.engine.forecast.resources import Resources
    from warmrl.engine.preview import preview
    from warmrl.engine.run_place import home

    entries = Entries(file, home() / "store")
    resources = Resources(entries, machine(device, file.recipe.launch.processes))
    report = with_speeds(resources, resources_report(resources), measure)
    return preview(entries) | {"resources": report}


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
