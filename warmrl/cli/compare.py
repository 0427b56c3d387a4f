"""`warmrl compare`: paired contrasts between checkpoints, whoever trained them, with the report as a page."""

from __future__ import annotations

import json
from typing import Annotated

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


def compare(
    targets: Annotated[
        list[str],
        typer.Argument(
            help="Runs, RUN#stage@step, folders, Hub ids, adapters, files of samples; NAME=TARGET names one, "
            "ARM=TARGET,TARGET,TARGET are the seeds of one arm.",
            metavar="TARGET...",
        ),
    ],
    metric: Metrics = None,
    suite: Suites = None,
    recipe: RecipeFrom = None,
    sets: Sets = None,
    sampling: Sampling = None,
    trained_on: TrainedOn = None,
    control: Annotated[
        str | None, typer.Option(help="Compare each target with this one alone (default: all pairs).")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Compare what was sampled or posed differently.")] = False,
    power: Annotated[bool, typer.Option("--power", help="Say what size a difference needs.")] = False,
    difference: Annotated[
        float | None, typer.Option(help="The difference that `--power` is about, in points (default: each observed).")
    ] = None,
    out: Out = None,
    as_json: Json = False,
    trust_remote_code: Code = False,
) -> None:
    """Measure targets under one protocol, and say which differences can be told."""
    from warmrl.engine.signals import Stopping

    stopping = Stopping()
    if difference is not None and not difference > 0:
        from warmrl.domain.errors import UsageError

        raise UsageError(f"`--difference {difference:g}`: a difference to look for is above zero, in points.")
    report = measured(
        targets, metric, suite, recipe, sets, sampling, trained_on, out, stopping, trust_remote_code,
        control=control, force=force,
    )  # fmt: skip
    if not report:  # not the first process
        return
    found = endpoints(report) | {"contrasts": report["contrasts"], "methods": report["methods"]}
    if power:
        from warmrl.cli.power import power_rows, show_power

        found["power"] = power_rows(report, difference)
        show_power(found["power"])
    if as_json:
        print(json.dumps(found))  # noqa: T201
