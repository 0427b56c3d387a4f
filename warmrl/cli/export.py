"""`warmrl export`: a policy as a plain folder with a model card, or a whole run as a copy that stands alone."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Precision(StrEnum):
    """What weights can be stored in."""

    float32 = "float32"
    bfloat16 = "bfloat16"


def export(
    target: Annotated[
        str,
        typer.Argument(
            help="`RUN#stage`, `RUN#stage@step`, or a run folder; of a curator what it made: `RUN#pairs`.",
            metavar="TARGET",
        ),
    ],
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="A new or empty folder.")],
    merge: Annotated[
        bool,
        typer.Option(
            "--merge",
            help="Of a stage with adapters, the whole model with them added in, instead of the adapters alone. "
            "A stage without adapters is exported whole either way.",
        ),
    ] = False,
    dtype: Annotated[
        Precision | None, typer.Option("--dtype", help="Store the weights in this precision (default: as trained).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="End with one line of JSON.")] = False,
) -> None:
    """Write a stage's policy as a transformers (or peft) folder with a model card; or copy a whole run.

    Of a curator stage, write its problems in TRL's preference or prompt-completion format.
    """
    from warmrl.domain.errors import UsageError
    from warmrl.engine.curated import is_curated
    from warmrl.engine.export import export_policy, export_run
    from warmrl.engine.export_data import export_data

    if "#" in target and is_curated(target):
        if merge or dtype:
            raise UsageError(f"{target} is data; `--merge` and `--dtype` are for policies.")
        found = export_data(target, to)
    elif "#" in target:
        found = export_policy(target, to, merge=merge, dtype=dtype.value if dtype else None)
    elif merge or dtype:
        raise UsageError(f"{target} is a whole run, which is copied as it is; `--merge` and `--dtype` need RUN#stage.")
    else:
        found = export_run(Path(target), to)
    if as_json:
        print(json.dumps({"kind": found.kind, "folder": str(found.folder), "base": found.base}))  # noqa: T201
        return
    kinds = {"model": "a whole model", "adapter": f"adapters for {found.base}", "run": "a run and its store entries"}
    kinds |= {"data": "problems with their answers, for TRL and for the dataset `files`"}
    print(f"{found.folder}: {kinds[found.kind]}")  # noqa: T201
