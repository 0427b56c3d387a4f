"""`warmrl runs`: list finished and unfinished runs, show one, remove what nothing refers to."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from warmrl.engine.pruning import Loose
    from warmrl.engine.run_list import Row

app = typer.Typer(help="See and prune runs.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
MIB = 2**20
# Of the table of runs, and the width of a terminal from which on all of them are shown.
WHOLE = ("run", "recipe", "state", "started", "ended", "result", "size", "shared")
WIDE = 130


@app.command("list")
def list_runs(
    state: Annotated[
        str | None, typer.Option(help="Only those that are running, finished, failed, stopped, died or silent.")
    ] = None,
    recipe: Annotated[str | None, typer.Option(help="Only recipes with this in their name.")] = None,
    study: Annotated[str | None, typer.Option(help="Only this study and its cells.")] = None,
    newer_than: Annotated[str | None, typer.Option(metavar="SPAN", help="Only changed since: 12h, 2d, 1w.")] = None,
    sort: Annotated[str, typer.Option(help="By name, state, started, ended, size or result.")] = "name",
    cells: Annotated[bool, typer.Option("--cells", help="Show the cells of studies, too.")] = False,
    as_json: Json = False,
) -> None:
    """Every run and study of the default folder: how it ended, its accuracy, and what it takes on the disk."""
    from warmrl.engine.known_runs import known_runs, wrong_ones
    from warmrl.engine.run_list import in_order, kept, rows_of, seconds_in

    known = known_runs()
    newer = seconds_in(newer_than, "--newer-than") if newer_than else None
    rows = in_order(kept(rows_of(known), state, recipe, study, newer), sort)
    folded = [one for one in rows if cells or one.study is None]
    for sentence in wrong_ones(known):
        print(f"warmrl: skipped: {sentence}", file=sys.stderr)  # noqa: T201
    if as_json:
        print(json.dumps([one.plain() for one in folded]))  # noqa: T201
        return
    show_rows(folded)


def show_rows(rows: Sequence[Row]) -> None:
    """Runs as a table; on a narrow terminal what tells most."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from warmrl.cli.watch_view import shown, state_text
    from warmrl.engine.run_place import home

    console = Console()
    whole = console.width >= WIDE
    columns = WHOLE if whole else ("run", "state", "ended", "result", "size")
    table = Table(*columns, box=box.HEAVY_HEAD if whole else box.SIMPLE_HEAD, padding=(0, 1 if whole else 0))
    for one in rows:
        started, ended = ((text or "").replace("T", " ")[:16] for text in (one.started, one.ended))
        shared = f"{one.shared_bytes / MIB:.1f} MiB with {', '.join(one.shared_with)}" if one.shared_with else ""
        cells = {
            "run": Text(shown(one.folder.relative_to(home()))),
            "recipe": Text(shown(one.name)),
            "state": state_text(one.state),
            "started": Text(started),
            "ended": Text(ended if whole else ended[5:]),
            "result": Text(result(one, whole)),
            "size": Text(f"{one.bytes / MIB:.1f} MiB"),
            "shared": Text(shown(shared)),
        }
        table.add_row(*(cells[column] for column in columns))
    console.print(table)


def result(one: Row, whole: bool) -> str:
    """What a run found (`whole`: and where), or how far a study is."""
    found = one.result or {}
    if "cells" in found:
        return f"{found['finished']}/{found['cells']} cells"
    where = f" ({found['checkpoint']}, {found['suite']})" if found and whole else ""
    return f"{found['metric']} {found['value']:.3f}{where}" if found else ""


@app.command()
def show(
    target: Annotated[
        str, typer.Argument(help="A run or study folder, or what a curator made: `RUN#pairs`.", metavar="RUN")
    ],
    examples: Annotated[int, typer.Option("--examples", min=0, help="Of a curator: how many problems to show.")] = 3,
    as_json: Json = False,
) -> None:
    """A run's or study's report as Markdown; of a curator its funnel, its problems' sources, and some of them."""
    from warmrl.domain.errors import UsageError

    if "#" in target:
        from warmrl.cli import curated
        from warmrl.engine.curated import read_curated

        curated.show(target, read_curated(target), examples, as_json)
        return
    from warmrl.engine.run_place import named

    run = named(target)
    try:
        text = (run / ("report.json" if as_json else "report.md")).read_text()
    except OSError:
        raise UsageError(
            f"{run} holds no finished run or study (no report.md); run its recipe to the end first. `warmrl watch "
            f"{run}` says how far it is."
        ) from None
    print(text)  # noqa: T201


@app.command()
def prune(
    really: Annotated[bool, typer.Option("--yes", help="Remove; without it only say what would go.")] = False,
    older_than: Annotated[
        str | None, typer.Option(metavar="SPAN", help="Only what did not change for so long: 12h, 2d, 1w.")
    ] = None,
    policies: Annotated[
        bool, typer.Option("--policies", help="Policies between the steps of a stage, too, that no run names.")
    ] = False,
    also: Annotated[
        list[Path] | None,
        typer.Option("--also", metavar="DIR", help="A run or study, or a folder of them: it refers to the store, too."),
    ] = None,
    ignore_damaged: Annotated[
        bool, typer.Option("--ignore-damaged", help="Count a run whose run.json cannot be read as no run.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Remove from the store what no run of the default folder refers to; what a run is at work on stays."""
    from warmrl.engine.known_runs import wrong_ones
    from warmrl.engine.pruning import References, loose, remove, runs_in
    from warmrl.engine.run_list import seconds_in
    from warmrl.engine.run_place import home

    homes = [home(), *(also or [])]
    age = seconds_in(older_than, "--older-than") if older_than else 0.0
    runs = runs_in(homes, ignore_damaged)
    for sentence in wrong_ones(runs):
        print(f"warmrl: skipped: {sentence}", file=sys.stderr)  # noqa: T201
    found = loose(home() / "store", References.of(runs), age, policies=policies)
    left = {one.folder: remove(one, homes, ignore_damaged) for one in found} if really else {}
    tell(found, {folder: why for folder, why in left.items() if why}, really, as_json)


def tell(found: Sequence[Loose], left: dict[Path, str], really: bool, as_json: bool) -> None:
    """Say what went, or would go."""
    gone = {str(one.folder): one.bytes for one in found if one.folder not in left}
    if as_json:
        about: dict[str, Any] = {
            "removed": really,
            "entries": gone,
            "left": {str(one): why for one, why in left.items()},
        }
        print(json.dumps(about))  # noqa: T201
        return
    for name, count in gone.items():
        print(f"{count / MIB:8.1f} MiB  {name}")  # noqa: T201
    for folder, why in left.items():
        print(f"    left  {folder}: {why}")  # noqa: T201
    what = "removed" if really else "would be removed (add --yes)"
    print(f"{len(gone)} entries, {sum(gone.values()) / MIB:.1f} MiB {what}.")  # noqa: T201
