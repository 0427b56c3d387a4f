"""The table of `warmrl compare --power`: what size a difference needs."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table


def power_rows(report: dict[str, Any], points: float | None) -> list[dict[str, Any]]:
    """A row for each contrast; `points` is a difference in points (hundredths of a share)."""
    from warmrl.domain.errors import UsageError
    from warmrl.report.sizes import sizes

    if points is not None and not points > 0:
        raise UsageError(f"`--difference {points:g}`: a difference to look for is above zero, in points.")
    return sizes(report, None if points is None else points / 100)


def show_power(rows: list[dict[str, Any]]) -> None:
    """Print it to standard error."""
    table = Table(
        "claim", "suite", "metric", "difference", "to find", "can show now", "problems", "samples", "seeds",
        title="What each difference needs (80 % power), with everything else as it is", title_justify="left",
    )  # fmt: skip
    for one in rows:
        shown = [f"{100 * one[name]:.1f}" for name in ("wanted", "detectable")]
        needed = [needs(one, name) for name in ("problems", "samples", "seeds")]
        table.add_row(one["claim"], one["suite"], one["metric"], f"{one['from']} → {one['to']}", *shown, *needed)
    Console(stderr=True).print(table)


def needs(one: dict[str, Any], name: str) -> str:
    """A number of problems, samples or seeds, or `-` where it helps nothing or no number is enough."""
    return "-" if one[name] is None else f"{one[name]:,}"
