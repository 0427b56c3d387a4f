"""The resources of a plan as tables that fit 80 columns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.table import Table

PHASES = ("rollout", "score", "train", "save")


def memory_table(found: dict[str, Any]) -> Table:
    """Memory of a process: the lines of each stage's highest phase, then what every phase comes to."""
    device = found["device"]
    count = found["processes"]
    each = f", one of {count} processes" if count > 1 else ""
    table = Table(title=f"Memory on {device['name']} ({size(device['bytes'])}){each}")
    table.add_column("at the peak", overflow="fold")
    columns: dict[str, Any] = dict(found["stages"])
    suites = list(found["evaluations"].values())
    if suites:
        largest = max(suites, key=lambda one: one["peak"])
        columns["evaluation"] = {**largest, "phase": "rollout", "phases": {"rollout": largest["peak"]}}
    for name in columns:
        table.add_column(name, justify="right")
    lines = list(dict.fromkeys(line for one in columns.values() for line in one["lines"]))
    for line in lines:
        table.add_row(line, *(size(one["lines"].get(line, 0)) for one in columns.values()))
    table.add_section()
    for phase in PHASES:
        if any(phase in one["phases"] for one in columns.values()):
            cells = (size(one["phases"].get(phase, 0)) for one in columns.values())
            marked = zip(cells, columns.values(), strict=True)
            table.add_row(
                f"in all, {phase}", *(f"[bold]{cell}[/]" if one["phase"] == phase else cell for cell, one in marked)
            )
    recomputed = ("yes" if one.get("recomputes") else "no" if "recomputes" in one else "" for one in columns.values())
    table.add_row("layers recomputed", *recomputed)
    return table


def work_table(found: dict[str, Any]) -> Table:
    """Tokens, operations and time of stages and evaluations."""
    table = Table(title="Tokens and time")
    table.add_column("", overflow="fold")
    for name in ("tokens a step", "steps", "rollout", "score", "train", "in all", "time"):
        table.add_column(name, justify="right")
    for name, one in found["stages"].items():
        by_phase = (operations(one["flops_per_step"].get(phase, 0)) for phase in PHASES[:3])
        tokens, steps = f"{one['tokens_per_step']:,.0f}", str(one["steps"])
        table.add_row(name, tokens, steps, *by_phase, operations(one["flops"]), duration(one["seconds"]))
    for name, one in found["evaluations"].items():
        answers = f"{one['answers']:,} answers"
        table.add_row(name, answers, "", "", "", "", operations(one["flops"]), duration(one["seconds"]))
    table.caption = "Operations (FLOP) of rollout, score and train are of one step; of a suite, for one checkpoint."
    return table


def sentences(found: dict[str, Any]) -> Iterator[str]:
    """Disk, the time of everything, what was assumed, what could not be checked, what is near a limit."""
    disk = found["disk"]
    if found["stages"]:
        if found["seconds"] is not None:
            yield f"Time in all: {duration(found['seconds'])}."
        if found.get("process_bytes"):
            yield f"Memory of the process at its peak: {size(found['process_bytes'])}."
        parts = ", ".join(f"{name} {size(value)}" for name, value in disk.items())
        yield f"Disk: up to {size(sum(disk.values()))} ({parts})."
    if found["assumptions"]:
        yield "Assumed:"
    yield from (f"{number}. {one}" for number, one in enumerate(found["assumptions"], 1))
    yield from found["unknown"]
    yield from found["warnings"]


def size(count: float) -> str:
    """Bytes."""
    for exponent, name in ((3, "GiB"), (2, "MiB"), (1, "KiB")):
        if count >= 1024**exponent:
            value = count / 1024**exponent
            return f"{value:.1f} {name}" if value < 100 else f"{value:.0f} {name}"
    return f"{count:.0f} B" if count else ""


def operations(count: float) -> str:
    """Operations."""
    for factor, name in ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G")):
        if count >= factor:
            return f"{count / factor:.3g} {name}"
    return f"{count / 1e6:.3g} M" if count else ""


def duration(seconds: float | None) -> str:
    """Time in words, to two figures."""
    if seconds is None:
        return "?"
    for unit, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= unit:
            return f"{seconds / unit:.2g} {name}" if seconds < 100 * unit else f"{seconds / unit:.0f} {name}"
    return f"{seconds:.2g} s"
