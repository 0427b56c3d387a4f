"""The last lines of a run: what changed, with intervals, and where the report is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from warmrl.engine.experiment import Experiment


def summarise(report: dict[str, Any], experiment: Experiment, folder: Path) -> dict[str, Any]:
    """Print the endpoint table to standard error; returns what `--json` prints."""
    console = Console(stderr=True)
    endpoints = report["endpoints"]
    metrics = list(dict.fromkeys(one["metric"] for one in endpoints))
    for suite in dict.fromkeys(one["suite"] for one in endpoints):
        table = Table("checkpoint", *metrics, title=f"{experiment.recipe.name} on {suite}", title_justify="left")
        own = [one for one in endpoints if one["suite"] == suite]
        for checkpoint in dict.fromkeys(one["checkpoint"] for one in own):
            cells = {one["metric"]: interval(one) for one in own if one["checkpoint"] == checkpoint}
            table.add_row(checkpoint, *(cells.get(metric, "") for metric in metrics))
        console.print(table)
    console.print("Intervals are over problems: they speak of these checkpoints, not of methods.", style="dim")
    for sentence in [*opinions(report), *experiment.findings()]:
        console.print(sentence, highlight=False)
    console.print(f"Report: {folder / 'report.html'}", highlight=False, soft_wrap=True)
    return {
        "run": str(folder),
        "report": str(folder / "report.html"),
        "policies": {name: str(folder / "stages" / name / experiment.handed_on(name)) for name in experiment.trained()},
        "stages": {"done": experiment.done, "reused": experiment.reused},
        "metrics": {f"{one['checkpoint']}/{one['suite']}/{one['metric']}": compact(one) for one in endpoints},
    }


def opinions(report: dict[str, Any]) -> list[str]:
    """How often two graders of a suite differ, a sentence a suite: from the least to the most of its checkpoints."""
    found: dict[tuple[str, str, str], list[float]] = {}
    for one in report["grading"]:
        if one["second"] is not None and one["disagreement"] is not None:
            found.setdefault((one["suite"], one["first"], one["second"]), []).append(one["disagreement"])
    return [
        f"{suite}: `{first}` and `{second}` differ on {' to '.join(dict.fromkeys(limits))} of the answers."
        for (suite, first, second), shares in found.items()
        for limits in [(f"{min(shares):.1%}", f"{max(shares):.1%}")]
    ]


def interval(one: dict[str, Any]) -> str:
    """A value and its interval."""
    if one["value"] is None:
        return "—"
    if one["low"] is None:
        return f"{one['value']:.3f}"
    return f"{one['value']:.3f} [{one['low']:.3f}, {one['high']:.3f}]"


def compact(one: dict[str, Any]) -> dict[str, Any]:
    """A score for machines."""
    return {name: one[name] for name in ("value", "low", "high", "n")}
