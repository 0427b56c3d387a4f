"""`warmrl run`: run a recipe, or go on with it."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from warmrl.engine.recipe_file import RecipeFile

# Room to start with, in sizes of the base's weights: two checkpoints (weights, two moments each) and the policy.
CHECKPOINTS_OF_ROOM = 7
Recipe = Annotated[Path, typer.Argument(help="The recipe, a TOML file (or a resolved one, JSON).", metavar="RECIPE")]
Sets = Annotated[list[str] | None, typer.Option("--set", metavar="K=V", help="Change a key: stage.rl.steps=20.")]
Out = Annotated[Path | None, typer.Option("--out", metavar="DIR", help="The run folder (default: ./runs/NAME).")]


def run(
    recipe: Recipe,
    out: Out = None,
    sets: Sets = None,
    processes: Annotated[int | None, typer.Option(help="Processes to run on (default: the recipe's).", min=1)] = None,
    tracker: Annotated[
        str | None, typer.Option(help="Also log to an accelerate tracker: tensorboard, wandb, …")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would run (as `warmrl plan`).")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="End with one line of JSON.")] = False,
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Let a model repository's own code run.")
    ] = False,
    jobs: Annotated[int, typer.Option(help="Of a study: cells side by side.", min=1)] = 1,
    only: Annotated[
        list[str] | None, typer.Option(help="Of a study: these cells alone: arm=opd,seed=3.", metavar="arm=A,seed=S")
    ] = None,
    accept: Annotated[
        list[str] | None,
        typer.Option(help="Of a study: a difference between arms that is meant, by its TOML path.", metavar="PATH"),
    ] = None,
    measure: Annotated[
        bool | None,
        typer.Option(help="Of a study: time a few real steps first, for its plan (default: small models on a CPU)."),
    ] = None,
    cell: Annotated[str | None, typer.Option(hidden=True)] = None,
) -> None:
    """Run a recipe; the same command after a kill goes on where it was, and again reuses everything."""
    if dry_run:
        from warmrl.cli.plan import show_any

        show_any(recipe, out, sets or [], as_json, measure=measure, jobs=jobs, accept=accept or [], only=only or [])
        return
    from warmrl.engine.signals import Stopping

    stopping = Stopping()  # before anything that takes time to load
    from warmrl.engine import launch, recipe_file, slurm, study_file
    from warmrl.engine.study_cells import cell_of
    from warmrl.engine.study_child import only_one

    launch.end_with_parent()
    study = study_file.read(recipe, sets or [])
    if study is not None and cell is None:
        from warmrl.cli.study import Asked, run_study

        asked = Asked(out, jobs, only or [], accept or [], measure, tracker, processes, trust_remote_code, as_json)
        run_study(study, asked, stopping)
        return
    if study is None:
        given = {"jobs": jobs > 1, "only": only, "accept": accept, "cell": cell}
        refuse_of_a_study(recipe, given | {"measure": measure, "no-measure": measure is False})
    file = study.recipe(cell_of(study, cell)) if study and cell else recipe_file.read(recipe, sets or [])
    folder = folder_of(file, out)
    start_checks(file, folder)
    slurm.adopt()
    with only_one(folder, stopping) if cell and not launch.launched() else nullcontext():
        report = in_processes(file, folder, stopping, processes, tracker, trust_remote_code)
    if as_json and launch.is_first():
        print(json.dumps(report))  # noqa: T201


def in_processes(
    file: RecipeFile, folder: Path, stopping: Any, processes: int | None, tracker: str | None, allow_code: bool
) -> dict[str, Any]:
    """Run in as many processes as are asked for, or the recipe says: this one is one of them, or starts them all."""
    from warmrl.engine import launch

    launch.require(processes)
    count = processes or file.recipe.launch.processes
    if count > 1 and not launch.launched():
        raise typer.Exit(launch.start(count, sys.argv[1:], stopping))
    with launch.quiet(not launch.is_first()):
        return execute(file, folder, stopping, tracker, allow_code)


def refuse_of_a_study(recipe: Path, given: Mapping[str, Any]) -> None:
    """Refuse options of a study for a recipe that is none. Raises `UsageError`."""
    from warmrl.domain.errors import UsageError

    for name, value in given.items():
        if value:
            raise UsageError(f"`--{name}` is for a study, and {recipe} has no arms; leave the option out.")


def folder_of(file: RecipeFile, out: Path | None) -> Path:
    """The run folder: `--out`, or the recipe's name under the default folder."""
    from warmrl.engine.run_place import home

    return out or home() / file.recipe.name


def start_checks(file: RecipeFile, folder: Path) -> None:
    """What can be refused before anything heavy is loaded or written."""
    from warmrl.engine.run_place import claim, home
    from warmrl.engine.storage import require_space

    claim(folder, file.recipe.name)
    require_space(folder)
    require_space(home())


def execute(file: RecipeFile, folder: Path, stopping: Any, tracker: str | None, allow_code: bool) -> dict[str, Any]:
    """Load the engine and run."""
    from warmrl.cli.display import progress_for
    from warmrl.cli.summary import summarise
    from warmrl.engine.entries import Entries
    from warmrl.engine.experiment import Experiment
    from warmrl.engine.launch import is_first
    from warmrl.engine.run_folder import RunFolder
    from warmrl.engine.run_place import home
    from warmrl.engine.storage import require_space
    from warmrl.engine.tracking import Tracker

    entries = Entries(file, home() / "store")
    entries.check_models()
    require_space(home(), CHECKPOINTS_OF_ROOM * entries.base.bytes)
    with progress_for() as progress, Tracker(tracker, folder) as tracked:
        experiment = Experiment(entries, RunFolder(folder, tracked), progress, stopping, allow_code)
        report = experiment.run()
    return summarise(report, experiment, folder) if is_first() else {}
