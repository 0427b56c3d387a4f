"""What a study cost: the measured work of each arm beside the control's, and the time of its phases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from warmrl.report.comparison_figures import listing, short
from warmrl.report.figures import Figure, text
from warmrl.report.study_looks import panel, ratio
from warmrl.report.words import DASH, duration

COUNTED = {
    "prompts": "Prompts",
    "samples": "Samples",
    "trained_tokens": "Tokens trained on",
    "teacher_tokens": "Teacher tokens",
    "updates": "Updates",
    "flops": "FLOPs",
}
PARTS = {"warm": "warm start", "outcome": "Stage 2"}
BAR = 26
HUES = 8


def work(report: Mapping[str, Any], name: str) -> dict[str, dict[str, float | None]]:
    """Of each arm and part the amount of one thing, the mean over its seeds; None where any was not counted."""
    found: dict[str, dict[str, float | None]] = {}
    for arm in report["arms"]:
        own = [row for row in report["budget"]["rows"] if row["arm"] == arm["name"]]
        found[arm["name"]] = {}
        for part in PARTS:
            counts = [row[name] for row in own if row["part"] == part]
            known = None if None in counts else fmean(counts) if counts else 0.0
            found[arm["name"]][part] = known if own else None
    return found


def budget_figure(report: Mapping[str, Any]) -> Figure:
    """Bars by arm, warm start and Stage 2 on top of one another, relative to the control's whole; a panel a thing."""
    names = [arm["name"] for arm in report["arms"]]
    panels = []
    for name in ("prompts", "samples", "trained_tokens", "flops"):
        counted = work(report, name)
        parts = list(counted[report["control"]].values())
        if None in parts or not (whole := sum(filter(None, parts))):
            continue
        data = []
        for part, hue in zip(PARTS, ("var(--c1)", "var(--axis)"), strict=True):
            shares = [None if (value := counted[arm][part]) is None else value / whole for arm in names]
            data.append(
                {
                    "type": "bar",
                    "orientation": "h",
                    "name": PARTS[part],
                    "y": list(range(len(names))),
                    "x": shares,
                    "marker": {"color": hue},
                    "customdata": [
                        [text(arm), DASH if share is None else ratio(share)]
                        for arm, share in zip(names, shares, strict=True)
                    ],
                    "hovertemplate": f"%{{customdata[0]}}, {PARTS[part]}: %{{customdata[1]}}<extra></extra>",
                }
            )
        layout = {
            **stacked(names),
            "barmode": "stack",
            "bargap": 0.35,
            "xaxis": {"title": {"text": "times the control's whole"}, "rangemode": "tozero", "showgrid": True},
            "shapes": [
                {
                    "type": "line",
                    "x0": 1,
                    "x1": 1,
                    "yref": "paper",
                    "y0": 0,
                    "y1": 1,
                    "line": {"color": "var(--axis)", "width": 1, "dash": "dot"},
                }
            ],
        }
        panels.append(panel(f"figure-budget-{name.replace('_', '-')}", COUNTED[name], data, layout))
    return {
        "kind": "budget",
        "title": "Budget of each arm, relative to the control",
        "across": 2,
        "panels": panels,
        "caption": "Measured, the mean over seeds; warm start with all that it is made of, then Stage 2. The dotted "
        "line is the control.",
    }


def stacked(names: Sequence[str]) -> Figure:
    """The layout of stacked bars, a row a name; the legend reads as the bars do."""
    layout = listing([short(name) for name in names], BAR)
    return {**layout, "legend": {**layout["legend"], "traceorder": "normal"}}


def budget_table(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row an arm and part, with each thing that was counted; and how the arm stands to the matched budget."""
    matched = {row["arm"]: row for row in report["budget"]["matched"]}
    counted = {name: work(report, name) for name in COUNTED}
    return [
        {
            "arm": arm["name"],
            "part": title,
            "first": part == "warm",
            "cells": [large(counted[name][arm["name"]][part]) if arm["seeds"] else DASH for name in COUNTED],
            "matched": matched.get(arm["name"]),
        }
        for arm in report["arms"]
        for part, title in PARTS.items()
    ]


def large(value: float | None) -> str:
    """A count with three significant digits and the unit's prefix: `712 k`, `3.4 T`."""
    if value is None:
        return "not counted"
    for prefix, size in (("E", 1e18), ("P", 1e15), ("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.3g} {prefix}" if value < 999.5 * size else f"{value / size:.0f} {prefix}"
    return f"{value:.0f}"


def phases(report: Mapping[str, Any]) -> tuple[list[str], dict[str, dict[str, float]]]:
    """The phases by name, and of each arm its seconds in each: the mean over seeds of the sum over stages."""
    rows = report["timings"]["rows"]
    names = list(dict.fromkeys(row["phase"] for row in rows))
    found: dict[str, dict[str, float]] = {}
    for arm in report["arms"]:
        own = [row for row in rows if row["arm"] == arm["name"]]
        if not own:
            continue
        seeds = len({row["seed"] for row in own})
        found[arm["name"]] = {
            name: sum(row["seconds"] for row in own if row["phase"] == name) / seeds for name in names
        }
    return names, found


def time_figure(report: Mapping[str, Any]) -> Figure:
    """Time by phase, a bar an arm."""
    names, found = phases(report)
    arms = list(found)
    longest = max((sum(own.values()) for own in found.values()), default=0.0)
    unit, size = next((pair for pair in (("h", 3600.0), ("min", 60.0)) if longest >= 2 * pair[1]), ("s", 1.0))
    data = [
        {
            "type": "bar",
            "orientation": "h",
            "name": text(phase),
            "y": list(range(len(arms))),
            "x": [found[arm][phase] / size for arm in arms],
            "marker": {"color": f"var(--c{place % HUES + 1})"},
            "customdata": [[text(arm), duration(found[arm][phase])] for arm in arms],
            "hovertemplate": f"%{{customdata[0]}}, {text(phase)}: %{{customdata[1]}}<extra></extra>",
        }
        for place, phase in enumerate(names)
    ]
    layout = {
        **stacked(arms),
        "barmode": "stack",
        "bargap": 0.35,
        "xaxis": {"title": {"text": f"{unit}, mean over seeds"}, "showgrid": True},
    }
    return {
        "kind": "time",
        "title": "Time by phase",
        "across": 1,
        "panels": [panel("figure-time", "", data, layout)],
        "caption": "Clock time of each arm's stages and of the rest of its runs, the mean over seeds. A stage that was "
        "reused counts where it ran; what starts that were killed had not kept counts in the rest.",
    }


def time_table(report: Mapping[str, Any]) -> dict[str, Sequence[Any]]:
    """The same in numbers: a row an arm, a column a phase."""
    names, found = phases(report)
    rows = [
        {"arm": arm, "cells": [duration(own[name]) for name in names], "whole": duration(sum(own.values()))}
        for arm, own in found.items()
    ]
    return {"phases": names, "rows": rows}
