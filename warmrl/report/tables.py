"""The report's tables, shared by the page and Markdown: what stands in which row and column."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from warmrl.report.comparable import flat
from warmrl.report.words import DASH, UNITS, count, operations, rate

Table = dict[str, Any]

TOOK = {
    "prompts": "prompts",
    "samples": "samples",
    "student tokens": "trained_tokens",
    "teacher tokens": "teacher_tokens",
    "updates": "updates",
    "FLOPs": "",
}
"""What a stage took, as the table's columns: a count's name, or the operations of all phases."""
ROLES = {"entry": "RL entry", "end": "end"}


def by_suite(report: Mapping[str, Any]) -> list[Table]:
    """For each suite: its checkpoints as columns, a row of endpoints a metric, its contrasts by pair, its curves."""
    return [
        {
            "name": suite,
            "columns": [name for name in names(report) if any(row["checkpoint"] == name for row in rows)],
            "rows": [
                {
                    "metric": metric,
                    "unit": next(row["unit"] for row in rows if row["metric"] == metric),
                    "cells": {row["checkpoint"]: row for row in rows if row["metric"] == metric},
                }
                for metric in dict.fromkeys(row["metric"] for row in rows)
            ],
            "problems": report["problems"][suite],
            "pairs": groups(report, suite, "pair"),
            "graded": graded(report, suite),
            **curves(report, suite),
        }
        for suite in report["suites"]
        for rows in [[row for row in report["endpoints"] if row["suite"] == suite]]
    ]


def names(report: Mapping[str, Any]) -> list[str]:
    """The evaluated checkpoints, in order."""
    return [checkpoint["name"] for checkpoint in report["checkpoints"]]


def metric_grid(suite: Mapping[str, Any], roles: Mapping[str, str]) -> Table:
    """Endpoints with a row a metric and a column a checkpoint: how one policy moved."""
    said = {name: ROLES[role] for role, name in roles.items() if role in ROLES}
    return {
        "corner": "metric",
        "heads": [{"name": name, "small": said.get(name, "")} for name in suite["columns"]],
        "rows": [
            {
                "name": row["metric"],
                "small": UNITS[row["unit"]],
                "cells": [row["cells"].get(name) for name in suite["columns"]],
            }
            for row in suite["rows"]
        ],
    }


def target_grid(suite: Mapping[str, Any], corner: str = "target", small: Mapping[str, str] | None = None) -> Table:
    """Endpoints with a row a target (or an arm) and a column a metric: who stands where."""
    return {
        "corner": corner,
        "heads": [{"name": row["metric"], "small": UNITS[row["unit"]]} for row in suite["rows"]],
        "rows": [
            {
                "name": name,
                "small": (small or {}).get(name, ""),
                "cells": [row["cells"].get(name) for row in suite["rows"]],
            }
            for name in suite["columns"]
        ],
    }


def groups(report: Mapping[str, Any], suite: str, key: str) -> list[Table]:
    """The contrasts of a suite, grouped by their `pair` or their `metric`."""
    rows = [row for row in report["contrasts"] if row["suite"] == suite]
    return [
        {
            key: value,
            "from": same[0]["from"],
            "to": same[0]["to"],
            "problems": most,
            "resolved": sum(row["resolved"] for row in same),
            "rows": [{**row, "problems": most} for row in same],
        }
        for value in dict.fromkeys(row[key] for row in rows)
        for same in [[row for row in rows if row[key] == value]]
        for most in [max(row["n"] for row in same)]
    ]


def curves(report: Mapping[str, Any], suite: str) -> Table:
    """The pass@k curves of a suite, and the same as a table: a row a checkpoint, a column a k."""
    found = [curve for curve in report["curves"] if curve["suite"] == suite]
    ks = sorted({k for curve in found for k in curve["k"]})
    rows = []
    for curve in found:
        points = zip(curve["k"], curve["value"], curve["low"], curve["high"], strict=True)
        cells = {
            k: {"value": value, "low": low, "high": high, "unit": "share", "degenerate": False}
            for k, value, low, high in points
        }
        rows.append({"name": curve["checkpoint"], "cells": [cells.get(k) for k in ks]})
    return {"curves": found, "ks": ks, "curve_rows": rows}


def missing(report: Mapping[str, Any]) -> list[str]:
    """Which metrics leave out problems that have no value, a sentence for each evaluation and number of them."""
    found: dict[tuple[str, str, int], list[str]] = {}
    for row in report["endpoints"]:
        if row["missing"]:
            found.setdefault((row["checkpoint"], row["suite"], row["missing"]), []).append(row["metric"])
    return [
        f"{checkpoint} on {suite}: {count} problems without a value, left out of {', '.join(metrics)}."
        for (checkpoint, suite, count), metrics in found.items()
    ]


def grading(report: Mapping[str, Any]) -> list[Table]:
    """How the answers of each suite were graded, a row a checkpoint, and by whom."""
    return [
        {"name": suite, "rows": rows, "graders": graders(rows)}
        for suite in report["suites"]
        if (rows := [row for row in report["grading"] if row["suite"] == suite])
    ]


def graders(rows: Sequence[Mapping[str, Any]]) -> str:
    """Who graded, and who gave a second opinion."""
    first, second = (listed(row[key] for row in rows if row[key]) for key in ("first", "second"))
    return f"Graded by {first or 'no grader'}, second opinion by {second or 'none'}."


def graded(report: Mapping[str, Any], suite: str) -> str:
    """Who graded a suite and how often a second grader differs, for the caption under its scores."""
    rows = [row for row in report["grading"] if row["suite"] == suite and row["first"]]
    shares = [row["disagreement"] for row in rows if row["disagreement"] is not None]
    if not rows:
        return ""
    if not shares:
        return f" {graders(rows)}"
    low, high = rate(min(shares)), rate(max(shares))
    size = low if low == high else f"{low.removesuffix(' %')} to {high}"
    first, second = (listed(row[key] for row in rows if row[key]) for key in ("first", "second"))
    return f" Graded by {first}; {second} gives another verdict on {size} of answers."


def listed(items: Any) -> str:
    """Distinct names, in order."""
    return ", ".join(dict.fromkeys(items))


def overlapping(report: Mapping[str, Any]) -> list[Table]:
    """Scores with and without the problems that training may have seen, by suite."""
    found: list[Table] = []
    for suite in report["suites"]:
        rows = [row for row in report["overlap"] if row["suite"] == suite]
        metrics = list(dict.fromkeys(one["metric"] for row in rows for one in row["scores"]))
        for row in rows:
            scores = {one["metric"]: one for one in row["scores"]}
            row = {**row, "cells": [sides(scores.get(metric, {})) for metric in metrics]}
            if not found or found[-1]["name"] != suite:
                about = {"left_out": row["left_out"], "problems": report["problems"][suite]}
                found.append({"name": suite, **about, "metrics": metrics, "rows": []})
            found[-1]["rows"].append(row)
    return found


def sides(score: Mapping[str, Any]) -> Table:
    """A score with and without, as cells."""
    cell = {"unit": "share", "degenerate": False}
    return {side: {**found, **cell} if (found := score.get(side)) else None for side in ("with", "without")}


def blocks(report: Mapping[str, Any]) -> Table:
    """The sampling blocks: a row a field, a column a block, and whether the field differs."""
    flats = [flat(block["settings"]) for block in report["sampling"]]
    fields = list(dict.fromkeys(field for block in flats for field in block))
    rows = [{"field": field, "values": [shown(block.get(field)) for block in flats]} for field in fields]
    return {
        "heads": [used(block["used_by"], len(report["checkpoints"])) for block in report["sampling"]],
        "rows": [{**row, "differs": len(set(row["values"])) > 1} for row in rows],
    }


def used(evaluations: Sequence[str], targets: int) -> str:
    """Which evaluations used a block: the suite alone where it is that of every target, or alone is named."""
    suites: dict[str, list[str]] = {}
    for one in evaluations:
        target, _, suite = one.rpartition(" on ")
        suites.setdefault(suite, []).append(target)
    return "; ".join(
        suite if own == [""] or (len(own) == targets and targets > 1) else f"{', '.join(own)} on {suite}"
        for suite, own in suites.items()
    )


def shown(value: Any) -> str:
    """A setting as text."""
    if value is None:
        return "\N{EN DASH}"
    return value if isinstance(value, str) else json.dumps(value)


def spent(report: Mapping[str, Any]) -> list[Table]:
    """Each stage with what it took, as cells of `TOOK`, and its share of the longest stage's time, in percent."""
    longest = max((stage["seconds"] for stage in report["stages"]), default=0.0)
    return [
        {
            **stage,
            "took": took(stage.get("work")),
            "width": round(100 * stage["seconds"] / longest, 1) if longest else 0.0,
        }
        for stage in report["stages"]
    ]


def took(work: Mapping[str, Any] | None) -> list[str]:
    """A stage's counts in words, and the operations of all phases; what an older warmrl made was not counted."""
    if work is None:
        return ["not counted", *[DASH] * (len(TOOK) - 1)]
    flops = list(work["flops"].values())
    return [*(count(work[name]) for name in TOOK.values() if name), operations(None if None in flops else sum(flops))]
