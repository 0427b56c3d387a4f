"""The report's figures as plain plotly dicts; colours are names of CSS variables, so one page serves light and dark."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from warmrl.report.counters import counted
from warmrl.report.words import number

Figure = dict[str, Any]
Row = Mapping[str, Any]

COLOURS = 6
COUNTED = "Mean over each step's samples of what is counted and not rewarded."
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "star", "hexagon", "pentagon")


def figures(report: Mapping[str, Any]) -> list[Figure]:
    """Every figure that the report has data for: `id`, `title`, `caption`, and plotly's `data` and `layout`."""
    over_steps = [
        steps_figure(
            report,
            "entropy",
            "Policy entropy through both stages",
            "nats per token",
            "Lines: each step's training samples. Points: evaluation at temperature 1, with intervals over problems.",
        ),
        steps_figure(report, "reward", "Reward", "mean reward", "Mean reward of each step's samples."),
        steps_figure(report, "length", "Length", "tokens", "Mean tokens of each step's samples."),
        *(
            steps_figure(report, f"reward/{name}", text(f"Counted: {name}"), "mean of a step", COUNTED)
            for name in counted(report["recipe"])
        ),
        generalization_figure(report),
    ]
    return [figure for figure in (*over_steps, *pass_figures(report)) if figure["data"]]


def colour(report: Mapping[str, Any], stage: str) -> str:
    """The colour of a stage, in order of the stages that train; what is no such stage (`base`) is grey."""
    trained = [row["name"] for row in report["stages"] if row["trains"]]
    return f"var(--c{trained.index(stage) % COLOURS + 1})" if stage in trained else "var(--c0)"


def text(value: object) -> str:
    """Text for plotly, which reads tags: names come from recipes, so nothing in them is markup."""
    return escape(str(value), quote=False)


def steps_figure(report: Mapping[str, Any], field: str, title: str, unit: str, caption: str) -> Figure:
    """A line a stage over the steps of the whole run, and the evaluations of a metric of the same name as points."""
    data: list[Figure] = []
    for stage in report["stages"]:
        rows = [row for row in report["training"] if row["stage"] == stage["name"] and row.get(field) is not None]
        if rows:
            data.append(
                {
                    "type": "scatter",
                    "mode": "lines",
                    "name": text(f"{stage['name']} ({stage['use']})"),
                    "x": [row["x"] for row in rows],
                    "y": [row[field] for row in rows],
                    "line": {"color": colour(report, stage["name"]), "width": 1.75},
                    "hovertemplate": f"step %{{x}}: %{{y:.4g}} {unit}",
                }
            )
    data.extend(evaluated(report, field, unit))
    joined = probed(report, field, unit)
    if joined:
        held = report["probe"]
        caption += (
            f" Joined points: the probe ({text(held['on'])}, the same {held['problems']} problems with "
            f"{held['samples']} samples each throughout), with intervals over problems."
        )
    data.extend(joined)
    last = max((x for trace in data for x in trace["x"]), default=0)
    layout = {
        "xaxis": {"title": {"text": "step"}, "range": [-0.015 * last, 1.015 * last]},
        "yaxis": {"title": {"text": unit}, "rangemode": "tozero"},
        "shapes": [handoff(stage["start"]) for stage in report["stages"] if stage["trains"] and stage["start"] > 0],
        "hovermode": "closest",
    }
    return {
        "id": f"figure-{re.sub('[^a-zA-Z0-9]+', '-', field)}",
        "title": title,
        "caption": caption,
        "data": data,
        "layout": layout,
    }


def generalization_figure(report: Mapping[str, Any]) -> Figure:
    """The Generalization Factor against the steps, a line a stage; a clamped point is open."""
    data: list[Figure] = []
    held = report.get("generalization", {})
    points = [point for point in held.get("points", ()) if point["value"] is not None]
    for stage in dict.fromkeys(point["stage"] for point in points):
        rows = [point for point in points if point["stage"] == stage]
        scale = 100.0 if held["unit"] == "share" else 1.0
        shape = ["circle-open" if row["clamped"] else "circle" for row in rows]
        data.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": text(stage),
                "x": [row["x"] for row in rows],
                "y": [scale * row["value"] for row in rows],
                "error_y": error_bars(rows, scale),
                "line": {"color": colour(report, stage), "width": 1.75},
                "marker": {"color": colour(report, stage), "symbol": shape, "size": 9},
                "customdata": [
                    [text(row["checkpoint"]), *(scale * row[side] for side in ("in_domain", "out_of_domain"))]
                    for row in rows
                ],
                "hovertemplate": "%{customdata[0]}: %{y:.4g}, in domain %{customdata[1]:.4g}, out %{customdata[2]:.4g}",
            }
        )
    caption = (
        "Of gains in and out of domain, with intervals over problems; open: a side was not above zero (0, clamped)."
    )
    layout = {"xaxis": {"title": {"text": "step"}}, "yaxis": {"title": {"text": "GF"}, "rangemode": "tozero"}}
    title = "Generalization Factor"
    return {"id": "figure-generalization", "title": title, "caption": caption, "data": data, "layout": layout}


def handoff(x: int) -> Figure:
    """A thin vertical line where one stage hands over to the next."""
    line = {"color": "var(--axis)", "width": 1, "dash": "dot"}
    return {"type": "line", "x0": x, "x1": x, "yref": "paper", "y0": 0, "y1": 1, "line": line}


def evaluated(report: Mapping[str, Any], metric: str, unit: str) -> list[Figure]:
    """The evaluations of `metric` as points with intervals, a trace a suite."""
    place = {checkpoint["name"]: checkpoint["x"] for checkpoint in report["checkpoints"]}
    traces = []
    for index, suite in enumerate(report["suites"]):
        rows = [
            row
            for row in report["endpoints"]
            if row["metric"] == metric and row["suite"] == suite and row["value"] is not None
        ]
        if rows:
            symbol = SYMBOLS[index % len(SYMBOLS)] + ("-open" if index % 2 else "")
            traces.append(
                {
                    "type": "scatter",
                    "mode": "markers",
                    "name": text(f"evaluated on {suite}"),
                    "x": [place[row["checkpoint"]] for row in rows],
                    "y": [row["value"] for row in rows],
                    "error_y": error_bars(rows),
                    "marker": {"color": "var(--ink)", "symbol": symbol, "size": 9},
                    "customdata": [[text(row["checkpoint"]), row["low"], row["high"]] for row in rows],
                    "hovertemplate": f"%{{customdata[0]}}: %{{y:.4g}} {unit}, "
                    "%{customdata[1]:.4g} to %{customdata[2]:.4g}",
                }
            )
    return traces


def probed(report: Mapping[str, Any], metric: str, unit: str) -> list[Figure]:
    """The probe's points of `metric`: a line from the base to the end, and one for each stage that is off that way."""
    held = report.get("probe") or {"points": (), "endpoints": ()}
    rows = {row["checkpoint"]: row for row in held["endpoints"] if row["metric"] == metric and row["value"] is not None}
    lines: dict[str, dict[int, Row]] = {}  # what is handed on may stand where a step of its stage does: once
    for point in held["points"]:
        if point["checkpoint"] in rows:
            name = "" if point["on_line"] else f", {point['stage']}"
            lines.setdefault(name, {})[point["x"]] = rows[point["checkpoint"]]
    traces = []
    for name, found in lines.items():
        ordered = [found[x] for x in sorted(found)]
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": text(f"probe{name}"),
                "x": sorted(found),
                "y": [row["value"] for row in ordered],
                "error_y": error_bars(ordered),
                "line": {"color": "var(--ink)", "width": 1, "dash": "dot" if name else "solid"},
                "marker": {"color": "var(--ink)", "symbol": "circle", "size": 5},
                "customdata": [[text(row["checkpoint"]), row["low"], row["high"]] for row in ordered],
                "hovertemplate": f"%{{customdata[0]}}: %{{y:.4g}} {unit}, "
                "%{customdata[1]:.4g} to %{customdata[2]:.4g}",
            }
        )
    return traces


def error_bars(rows: Sequence[Row], scale: float = 1.0) -> Figure:
    """Asymmetric error bars from low and high of each row."""
    return {
        "type": "data",
        "symmetric": False,
        "array": [scale * (row["high"] - row["value"]) for row in rows],
        "arrayminus": [scale * (row["value"] - row["low"]) for row in rows],
        "thickness": 1.25,
        "width": 3,
    }


def pass_figures(report: Mapping[str, Any]) -> list[Figure]:
    """pass@k on each suite of a run: a colour a stage, dots for what lies within one."""
    looks = {
        place["name"]: {
            "color": colour(report, place["stage"]),
            "symbol": SYMBOLS[index % len(SYMBOLS)],
            "dash": "dot" if place["step"] else "solid",
        }
        for index, place in enumerate(report["checkpoints"])
    }
    found = []
    for place, suite in enumerate(report["suites"]):
        curves = [curve for curve in report["curves"] if curve["suite"] == suite]
        found.append({**pass_figure(curves, suite, looks), "id": f"figure-pass-{place}"})
    return found


def pass_figure(curves: Sequence[Row], suite: str, looks: Mapping[str, Mapping[str, str]]) -> Figure:
    """pass@k against k on one suite, a line a checkpoint; points stand a little apart so that intervals are seen."""
    data = []
    for index, curve in enumerate(curves):
        keys = ("k", "value", "low", "high")
        rows = [dict(zip(keys, point, strict=True)) for point in zip(*(curve[key] for key in keys), strict=True)]
        look = looks[curve["checkpoint"]]
        apart = 1.035 ** (index - (len(curves) - 1) / 2)
        data.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": text(curve["checkpoint"]),
                "x": [row["k"] * apart for row in rows],
                "y": [100 * row["value"] for row in rows],
                "error_y": error_bars(rows, 100.0),
                "line": {"color": look["color"], "width": 1.75, "dash": look["dash"]},
                "marker": {"color": look["color"], "symbol": look["symbol"], "size": 7},
                "customdata": [
                    [row["k"], number(row["value"], "share"), number(row["low"], "share"), number(row["high"], "share")]
                    for row in rows
                ],
                "hovertemplate": "pass@%{customdata[0]}: %{customdata[1]} %, %{customdata[2]} to %{customdata[3]}",
            }
        )
    ticks = sorted({k for curve in curves for k in curve["k"]})
    layout = {
        "xaxis": {"title": {"text": "k"}, "type": "log", "tickvals": ticks, "ticktext": [str(k) for k in ticks]},
        "yaxis": {"title": {"text": "pass@k, %"}, "rangemode": "tozero"},
        "hovermode": "closest",
    }
    caption = "Unbiased estimate at each checkpoint; bars are intervals over problems."
    return {"title": f"pass@k on {suite}", "caption": caption, "data": data, "layout": layout}
