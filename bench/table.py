"""The bench's results as tables: for a terminal, for the documentation, for a program."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from bench.compare import Case, Cost
from bench.measure import MIB

COLUMNS = (
    "contender", "s, best (median)", "rollouts/s", "trained tokens/s", "peak MiB", "GFLOP", "saved MiB (at once)",
    "tokens computed / unique", "least / done", "gap",
)  # fmt: skip


def cells(cost: Cost) -> tuple[str, ...]:
    """A contender's row."""
    saved = "-" if cost.saved is None else f"{cost.saved / MIB:.0f} ({(cost.held or 0) / MIB:.0f})"
    timed = bool(cost.seconds)
    return (
        cost.name,
        f"{cost.best:.2f} ({cost.middle:.2f})" if timed else "-",
        f"{cost.rollouts / cost.best:.1f}" if timed and cost.rollouts else "-",
        f"{cost.trained / cost.best:.0f}" if timed and cost.trained else "-",
        "-" if cost.peak is None else f"{cost.peak / MIB:.0f}",
        f"{cost.flops / 1e9:.1f}" if cost.flops else "-",
        saved,
        f"{cost.tokens:.2f}" if cost.tokens else "-",
        "-" if cost.least is None else f"{cost.least:.3f}",
        "-" if cost.gap is None else f"{cost.gap:.1e}",
    )


def show(case: Case, console: Console) -> None:
    """Print a case and what was asked of it."""
    table = Table(title=f"{case.name}: {case.what}", title_justify="left")
    for number, name in enumerate(COLUMNS):
        table.add_column(name, justify="right" if number else "left")
    for cost in case.costs:
        table.add_row(*cells(cost))
    console.print(table)
    for figure in case.figures:
        mark = "reached" if figure.reached() else "NOT reached"
        console.print(f"  {figure.name}: {figure.value:.3g} (asked: {figure.sense} {figure.asked:g}) {mark}")
    for cost in case.costs:
        if cost.about:
            console.print(f"  {cost.name}: {cost.about}", style="dim")


def markdown(cases: Sequence[Case]) -> str:
    """The tables of docs/performance.md."""
    lines = ["| case | figure | asked | measured |", "|---|---|---|---|"]
    for case in cases:
        for figure in case.figures:
            sign = "≥" if figure.sense == "at least" else "≤"
            short = "" if figure.reached() else " (short)"
            lines.append(f"| {case.name} | {figure.name} | {sign} {figure.asked:g} | **{figure.value:.3g}**{short} |")
    for case in cases:
        lines += ["", f"**{case.name}**: {case.what}", "", f"| {' | '.join(COLUMNS)} |", "|" + "---|" * len(COLUMNS)]
        lines += [f"| {' | '.join(cells(cost))} |" for cost in case.costs]
        notes = "; ".join(f"{cost.name}: {cost.about}" for cost in case.costs if cost.about)
        lines += ["", f"{notes}."] if notes else []
    return "\n".join([*lines, "", environment_line()])


def as_json(cases: Sequence[Case]) -> dict[str, Any]:
    """Everything, with what it was measured on."""
    return {"environment": environment(), "cases": [asdict(case) for case in cases]}


def environment() -> dict[str, str]:
    """Versions and hardware."""
    found = {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "threads": str(torch.get_num_threads()),
    }
    for package in ("torch", "transformers", "trl", "accelerate"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def environment_line() -> str:
    """The same as one sentence."""
    return "Measured with " + ", ".join(f"{name} {value}" for name, value in environment().items()) + "."
