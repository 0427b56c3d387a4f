"""`warmrl runs`: list finished and unfinished runs, show one, remove what nothing refers to."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

app = typer.Typer(help="See and prune runs.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list")
def list_runs(as_json: Json = False) -> None:
    """Every run of the default folder."""
    from warmrl.engine.run_place import home, known_run

    found = {str(one.parent): known_run(one.parent) for one in sorted(home().glob("*/run.json"))}
    if as_json:
        print(json.dumps([{"run": run, **one} for run, one in found.items()]))  # noqa: T201
        return
    table = Table("run", "recipe", "state", "stages")
    for run, one in found.items():
        table.add_row(run, str(one.get("name")), str(one.get("state")), ", ".join(one.get("stages", {})))
    Console().print(table)


@app.command()
def show(
    target: Annotated[str, typer.Argument(help="A run folder, or what a curator made: `RUN#pairs`.", metavar="RUN")],
    examples: Annotated[int, typer.Option("--examples", min=0, help="Of a curator: how many problems to show.")] = 3,
    as_json: Json = False,
) -> None:
    """A run's report as Markdown; of a curator its funnel, where its problems came from, and some of them."""
    from warmrl.domain.errors import UsageError

    if "#" in target:
        from warmrl.cli import curated
        from warmrl.engine.curated import read_curated

        curated.show(target, read_curated(target), examples, as_json)
        return
    run = Path(target)
    try:
        print((run / ("report.json" if as_json else "report.md")).read_text())  # noqa: T201
    except OSError:
        raise UsageError(f"{run} holds no finished run (no report.md); run its recipe to the end first.") from None


@app.command()
def prune(
    really: Annotated[bool, typer.Option("--yes", help="Remove; without it only say what would go.")] = False,
    as_json: Json = False,
) -> None:
    """Remove store entries that no run of the default folder refers to."""
    from warmrl.engine.run_place import home, known_run

    runs = [one.parent for one in home().glob("*/run.json")]
    kept = {(run / one["store"]).resolve() for run in runs for one in known_run(run).get("stages", {}).values()}
    kept |= {(run / one).resolve() for run in runs for one in known_run(run).get("entries", [])}
    kept |= {link.resolve().parent for run in runs for link in run.glob("evaluations/*/samples.jsonl")}
    store = home() / "store"
    loose = [one for one in sorted(store.glob("*")) if one.is_dir() and one.resolve() not in kept]
    sizes = {str(one): size(one) for one in loose}
    for one in loose if really else []:
        shutil.rmtree(one)
        one.with_name(f".{one.name}.lock").unlink(missing_ok=True)
    tell(sizes, really, as_json)


def tell(sizes: dict[str, int], really: bool, as_json: bool) -> None:
    """Say what went, or would go."""
    if as_json:
        found: dict[str, Any] = {"removed": really, "entries": sizes}
        print(json.dumps(found))  # noqa: T201
        return
    for name, count in sizes.items():
        print(f"{count / 2**20:8.1f} MiB  {name}")  # noqa: T201
    what = "removed" if really else "would be removed (add --yes)"
    print(f"{len(sizes)} entries, {sum(sizes.values()) / 2**20:.1f} MiB {what}.")  # noqa: T201


def size(folder: Path) -> int:
    """Bytes of a folder's files."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
