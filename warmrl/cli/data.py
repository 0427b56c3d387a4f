"""`warmrl data`: look at datasets; what a suite and training data share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(help="Look at datasets.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Look at datasets."""


@app.command()
def overlap(
    train: Annotated[str, typer.Option("--train", metavar="NAME[=PATH]", help="The training data.")],
    suite: Annotated[str, typer.Option("--suite", metavar="NAME[=PATH]", help="The suite.")],
    sets: Annotated[
        list[str] | None, typer.Option("--set", metavar="K=V", help="A setting, as `suite.split=test`.")
    ] = None,
    cache: Annotated[Path | None, typer.Option("--cache", help="JSON file that keeps thumbnails of pictures.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Say which problems of a suite are in the training data, by text, 13 words in a row, or picture."""
    from warmrl.engine.overlap import overlap as compare

    training, scored = opened({"train": train, "suite": suite}, sets or [])
    found = compare(training, scored, cache)
    if as_json:
        print(json.dumps(found.as_json()))  # noqa: T201
        return
    kinds = ", ".join(f"{kind} {count}" for kind, count in found.counts.items())
    print(  # noqa: T201
        f"{len(found.ids)} of {found.problems} problems of `{suite}` are among the {found.training} of `{train}` "
        f"({kinds})."
    )
    for match in found.matches:
        print(f"{match.problem}  {match.kind}  {match.training}")  # noqa: T201


def opened(chosen: dict[str, str], sets: list[str]) -> list[Any]:
    """The problems of each dataset that is chosen (`NAME` or `NAME=PATH`), by role. Raises `UsageError`."""
    from pydantic import ValidationError

    from warmrl.domain.config import Config, DatasetChoice
    from warmrl.domain.errors import UsageError
    from warmrl.engine.recipe_errors import sentences
    from warmrl.engine.recipe_file import assign
    from warmrl.plugin.registry import Registry

    class Chosen(Config):
        train: DatasetChoice
        suite: DatasetChoice

    tables: dict[str, Any] = {}
    for role, text in chosen.items():
        name, _, path = text.partition("=")
        tables[role] = {"use": name, **({"path": path} if path else {})}
    for one in sets:
        assign(tables, one)
    registry = Registry.installed()
    try:
        table = Chosen.model_validate(tables, context={"registry": registry})
    except ValidationError as error:
        found = sentences(error.errors(include_url=False), (), list(Chosen.model_fields), Chosen)
        raise UsageError(" ".join(dict.fromkeys(found))) from None
    return [registry.instance(getattr(table, role)).problems() for role in chosen]
