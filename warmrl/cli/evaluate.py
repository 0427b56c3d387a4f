"""`warmrl eval`: measure a run's checkpoints by more metrics, adding only the samples that are missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def evaluate(
    target: Annotated[Path | None, typer.Argument(help="A run folder (default: the newest finished run).")] = None,
    metric: Annotated[list[str] | None, typer.Option("--metric", help="A metric, as pass@16; may be repeated.")] = None,
    suite: Annotated[list[str] | None, typer.Option("--suite", help="Only this suite; may be repeated.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="End with one line of JSON.")] = False,
) -> None:
    """Evaluate a run's checkpoints; samples that are there are not drawn again."""
    from warmrl.engine.signals import Stopping

    stopping = Stopping()
    from warmrl.cli.run import execute
    from warmrl.domain.errors import UsageError
    from warmrl.engine import recipe_file
    from warmrl.engine.run_place import newest_run

    run = target or newest_run()
    recipe = run / "recipe.resolved.json"
    if not recipe.exists():
        raise UsageError(f"{run} holds no warmrl run; give a run folder.")
    file = recipe_file.read(recipe)
    if metric:
        both = list(dict.fromkeys([*file.recipe.eval.metrics, *metric]))
        file = recipe_file.read(recipe, [f"eval.metrics={json.dumps(both)}"])
    unknown = [one for one in suite or [] if one not in file.recipe.suite]
    if unknown:
        raise UsageError(f"{run} has no suite `{unknown[0]}`; there are: {', '.join(file.recipe.suite)}.")
    found = execute(file, run, stopping, None, False)
    chosen = {name: value for name, value in found["metrics"].items() if not suite or name.split("/")[1] in suite}
    if as_json:
        print(json.dumps({"run": str(run), "metrics": chosen}))  # noqa: T201
    elif target is None:
        typer.echo(f"(the newest finished run: {run})")
