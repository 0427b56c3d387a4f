"""The table of `warmrl compare --power`: what size a difference needs."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

HEADS = ("metric", "to find", "can show now", "problems", "samples", "seeds")


def power_rows(report: dict[str, Any], points: float | None) -> list[dict[str, Any]]:
    """A row for each contrast; `points` is a difference in points (hundredths of a share)."""
    from warmrl.report.sizes import sizes

    return sizes(report, None if points is None else points / 100)


def show_power(rows: list[dict[str, Any]]) -> None:
    """Print it to standard error."""
    console, tables = Console(stderr=True), {}
    for one in rows:
        title = f"{one['from']} → {one['to']} on {one['suite']}, {one['claim']}: what a difference needs (80 % power)"
        if title not in tables:
            tables[title] = Table(*HEADS, title=escape(title), title_justify="left")
        shown = [amount(one[name], one["unit"]) for name in ("wanted", "detectable")]
        needed = [needs(one, name) for name in ("problems", "samples", "seeds")]
        tables[title].add_row(one["metric"], *shown, *needed)
    for table in tables.values():
        console.print(table)


def amount(value: float, unit: str) -> str:
    """A difference in points, or in the metric's own unit."""
    return f"{100 * value:.1f} points" if unit == "share" else f"{value:.3g}"


def needs(one: dict[str, Any], name: str) -> str:
    """A number of problems, samples or seeds, or `-` where it helps nothing or no number is enough."""
    return "-" if one[name] is None else f"{one[name]:,}"
