"""`warmrl eval`: measure a checkpoint, whoever trained it; only what is missing is drawn."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from warmrl.cli.measure import (
    Code,
    Json,
    Metrics,
    Out,
    RecipeFrom,
    Sampling,
    Sets,
    Suites,
    TrainedOn,
    endpoints,
    measured,
)


def evaluate(
    target: Annotated[
        str | None,
        typer.Argument(help="A run, RUN#stage@step, a folder, a Hub id, adapters (default: the newest finished run)."),
    ] = None,
    metric: Metrics = None,
    suite: Suites = None,
    samples: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Score samples that another tool made (docs/samples.md).")
    ] = None,
    recipe: RecipeFrom = None,
    sets: Sets = None,
    sampling: Sampling = None,
    trained_on: TrainedOn = None,
    out: Out = None,
    processes: Annotated[int | None, typer.Option(help="Processes to run on.", min=1)] = None,
    as_json: Json = False,
    trust_remote_code: Code = False,
) -> None:
    """Evaluate a checkpoint; answers that are there are not drawn again."""
    from warmrl.engine.signals import Stopping

    stopping = Stopping()
    from warmrl.domain.errors import UsageError
    from warmrl.engine import launch, slurm
    from warmrl.engine.run_place import newest_run
    from warmrl.engine.targets import FILES, is_file, is_run

    if samples and target:
        raise UsageError(f"`--samples {samples}` is what is scored; `{target}` has no part in it. Give one of both.")
    if samples and not is_file(str(samples)):
        raise UsageError(f"`--samples {samples}`: a file of samples ends in {', '.join(FILES)}; convert or rename it.")
    source = str(samples or target or newest_run())
    if is_run(source) and recipe is None and (out or sampling or trained_on):
        raise UsageError(
            f"`--out`, `--sampling` and `--trained-on` say nothing of {source}, a run, whose report is in its own "
            "folder; leave them out, or name one of its checkpoints (`RUN#stage`)."
        )
    slurm.adopt()
    launch.require(processes)
    if processes and processes > 1 and not launch.launched():
        raise typer.Exit(launch.start(processes, sys.argv[1:], stopping))
    launch.end_with_parent()
    with launch.quiet(not launch.is_first()):
        if is_run(source) and recipe is None:
            found = of_run(Path(source), metric or [], suite or [], sets or [], stopping, trust_remote_code)
        else:
            report = measured(
                [source], metric, suite, recipe, sets, sampling, trained_on, out, stopping, trust_remote_code
            )
            found = endpoints(report)
    if as_json and launch.is_first():
        print(json.dumps(found))  # noqa: T201
    elif target is None and samples is None:
        typer.echo(f"(the newest finished run: {source})")


def of_run(
    run: Path, metrics: list[str], suites: list[str], sets: list[str], stopping: Any, allow_code: bool
) -> dict[str, Any]:
    """More metrics, samples or suites on the checkpoints of a finished run; its report is written again."""
    from warmrl.cli.run import execute
    from warmrl.domain.errors import UsageError
    from warmrl.engine import recipe_file, targets
    from warmrl.engine.entries import Entries
    from warmrl.engine.run_place import home

    path = run / targets.RESOLVED
    table = recipe_file.merged(path)[1]
    own = table.setdefault("suite", {})
    own |= dict(targets.suite_table(text, own) for text in suites)
    evaluation = table.setdefault("eval", {})
    evaluation["metrics"] = list(dict.fromkeys([*evaluation.get("metrics", []), *metrics]))
    for assignment in sets:
        recipe_file.assign(table, assignment)
    targets.enough_samples(table, stated=any(one.startswith("eval.samples") for one in sets))
    file = recipe_file.validated(path, "", table)
    entries = Entries(file, home() / "store")
    for stage in entries.order():
        why = entries.missing(stage, entries.kept_steps(stage))
        if why is not None:
            raise UsageError(
                f"{run}: the stage `{stage}` would have to run ({why}), and `warmrl eval` trains nothing. Run its "
                f"recipe to the end, or evaluate one checkpoint that is there: `{run}#STAGE`."
            )
    found = execute(file, run, stopping, None, allow_code)
    names = [text.partition("=")[0] for text in suites]
    chosen = {key: one for key, one in found.get("metrics", {}).items() if not names or key.split("/")[1] in names}
    return {"run": str(run), "report": str(run / "report.html"), "metrics": chosen}
