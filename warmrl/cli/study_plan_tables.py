"""The plan of a study as tables that fit 80 columns: cells, fairness, budgets, and the estimates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.table import Table

from warmrl.cli.plan_tables import duration, operations, size

COLOURS = {"unexplained": "bold red", "accepted": "yellow", "declared": "cyan", "matched": "green"}


def cells_table(plan: Mapping[str, Any]) -> Table:
    """What runs, what is there, and what another cell makes, for each cell."""
    table = Table("arm", "seed", "stages that run", "evaluations that run", title=f"Cells of {plan['name']}")
    table.add_column("reused", justify="right")
    table.add_column("time", justify="right")
    for cell in plan["cells"]:
        own = [one["stage"] for one in cell["stages"] if one["status"] == "runs"]
        asked = [one for one in cell["evaluations"] if one["status"] == "runs"]
        reused = sum(one["status"] != "runs" for kind in ("stages", "evaluations") for one in cell[kind])
        time = duration(cell["seconds"]) if own or asked else ""
        table.add_row(cell["arm"], str(cell["seed"]), ", ".join(own), str(len(asked) or ""), str(reused or ""), time)
    shared = plan["reuse"]
    table.caption = (
        f"{shared['runs']} results are made, {shared['there']} are in the store; what several cells need "
        f"({shared['shared']} times) is made once."
    )
    return table


def fairness_table(plan: Mapping[str, Any]) -> Table:
    """Every difference between arms with what explains it, then what is the same."""
    table = Table(title="Arms beside one another", show_lines=True)
    table.add_column("setting", overflow="fold", ratio=3)
    table.add_column("status", no_wrap=True)
    table.add_column("arms, and why", overflow="fold", ratio=6)
    order = list(COLOURS)
    for row in sorted(plan["fairness"], key=lambda one: order.index(one["status"])):
        told = "" if row["status"] == "matched" and row["path"] != "match" else f"{by_value(row)}\n"
        table.add_row(row["path"], f"[{COLOURS[row['status']]}]{row['status']}[/]", plain(told + row["reason"]))
    return table


def plain(text: str) -> str:
    """Text whose brackets are brackets."""
    return text.replace("[", r"\[")


def by_value(row: Mapping[str, Any]) -> str:
    """Each value with the arms that have it."""
    found: dict[str, list[str]] = {}
    for arm, value in row["arms"].items():
        found.setdefault(str(value), []).append(arm)
    return "\n".join(f"{', '.join(arms)}: {value}" for value, arms in found.items())


def budget_table(plan: Mapping[str, Any]) -> Table:
    """What each warm start is planned to spend."""
    table = Table("warm start", title=f"Budgets (matched by {plan['match']})")
    for name in ("prompts", "samples", "tokens", "teacher's", "updates", "FLOP"):
        table.add_column(name, justify="right")
    for arm, one in plan["budget"].items():
        counts = [
            f"{one[name]:,.0f}" if one[name] else "" for name in ("prompts", "samples", "tokens", "teacher_tokens")
        ]
        most = "<= " if one["at_most"] else ""
        table.add_row(
            arm,
            most + counts[0],
            *counts[1:],
            f"{one['updates']:,}" if one["updates"] else "",
            operations(one["flops"]),
        )
    return table


def sentences(plan: Mapping[str, Any]) -> Iterator[str]:
    """The estimates for the whole study, and what they stand on."""
    found = plan["estimates"]
    if found["seconds"] is not None:
        cpu = f" ({duration(found['cpu_seconds'])} of processors)" if found["cpu_seconds"] is not None else ""
        jobs = found["seconds_of_jobs"]
        together = f"; side by side {duration(jobs)}" if jobs != found["seconds"] else ""
        yield f"Time in all: {duration(found['seconds'])}{cpu}{together}."
    yield f"Memory of a process at its peak: {size(found['peak_bytes'])}."
    yield f"Tokens that are trained on, prompts included: {found['tokens']:,.0f}."
    disk = found["disk"]
    yield f"Disk: up to {size(sum(disk.values()))} ({', '.join(f'{name} {size(one)}' for name, one in disk.items())})."
    yield "Assumed:"
    yield from (f"{number}. {one}" for number, one in enumerate(plan["assumptions"], 1))
