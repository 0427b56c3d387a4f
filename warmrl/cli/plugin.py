"""`warmrl plugin`: list, show, trust."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

app = typer.Typer(help="See what is installed, and trust one-file plugins.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list")
def list_plugins(as_json: Json = False) -> None:
    """Every plugin by kind; broken ones with the reason."""
    from warmrl.plugin.registry import KINDS, Registry

    registry = Registry.installed()
    rows = [
        {"kind": one.kind, "name": one.name, "revision": one.revision, "distribution": one.distribution}
        for kind in KINDS
        for one in registry.of_kind(kind)
    ]
    broken = [{"plugin": b.plugin, "distribution": b.distribution, "reason": b.reason} for b in registry.broken]
    if as_json:
        print(json.dumps({"plugins": rows, "broken": broken}))  # noqa: T201
        return
    table = Table("kind", "name", "revision", "distribution")
    for row in rows:
        table.add_row(*row.values())
    Console().print(table)
    for one in broken:
        print(f"BROKEN: `{one['plugin']}` of {one['distribution']}: {one['reason']}")  # noqa: T201


@app.command()
def show(name: Annotated[str, typer.Argument(help="A plugin's name, as a recipe's `use` says it.")]) -> None:
    """A plugin's settings, and where its source is."""
    from warmrl.domain.errors import PluginError
    from warmrl.engine.plugin_pages import page
    from warmrl.plugin.registry import Registry

    registry = Registry.installed()
    found = [one for ones in registry.registrations.values() for one in ones if one.name == name]
    if not found:
        registry_names = sorted({one.name for ones in registry.registrations.values() for one in ones})
        raise PluginError(f"There is no plugin called `{name}`; installed: {', '.join(registry_names)}.")
    for one in found:
        print(page(one))  # noqa: T201


@app.command()
def trust(file: Annotated[Path, typer.Argument(help="A one-file plugin.", metavar="FILE")]) -> None:
    """Trust a one-file plugin as it is now; any change to it asks again."""
    from warmrl.plugin.local import trust as remember

    print(f"Trusted {file} ({remember(file)[:12]}…).")  # noqa: T201
