"""Figures of what came out of a study: pass@k at each point, transfer out of the domain, entropy against gain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from warmrl.report import study_cells
from warmrl.report.comparison_figures import differences
from warmrl.report.figures import Figure, Row, text
from warmrl.report.study_looks import Look, appearances, axis, line, panel, scale, spread
from warmrl.report.study_methods import WHEN
from warmrl.report.study_trajectories import regime_unit
from warmrl.report.words import UNITS, change, quantity, sentence_case

POINTS = {point: WHEN[point] for point in study_cells.POINTS}


def outcome_figures(report: Mapping[str, Any]) -> list[Figure]:
    """Every figure of outcomes that the study has data for; `kind` is the section it stands in."""
    names = [suite["name"] for suite in report["suites"]]
    found = [method_figure(report, place, suite) for place, suite in enumerate(names)]
    found += [pass_figure(report, place, suite) for place, suite in enumerate(names)]
    found += [transfer_figure(report), gain_figure(report)]
    return [figure for figure in found if any(one["data"] for one in figure["panels"])]


def method_figure(report: Mapping[str, Any], place: int, suite: str) -> Figure:
    """Each arm against the control by the first metric of a suite, a panel a point."""
    panels = []
    for point, title in POINTS.items():
        rows = [row for row in report["methods"]["contrasts"] if row["point"] == point]
        found = differences(rows, suite, "crossed over seeds and problems")
        if found["data"]:
            panels.append(
                {
                    **panel(f"figure-method-{place}-{point}", sentence_case(title), found["data"], found["layout"]),
                    "about": found,
                }
            )
    reach = [
        abs(x + sign * bar)
        for one in panels
        for trace in one["data"]
        if trace["type"] == "scatter"
        for sign, side in ((1, "array"), (-1, "arrayminus"))
        for x, bar in zip(trace["x"], trace["error_x"][side], strict=True)
    ]
    reach += [
        2 * x + base
        for one in panels
        for trace in one["data"]
        if trace["type"] == "bar"
        for x, base in zip(trace["x"], trace["base"], strict=True)
    ]
    for one in panels:
        one["layout"]["xaxis"]["range"] = [-1.06 * max(reach), 1.06 * max(reach)]
        one["layout"] |= {"showlegend": False, "height": one["layout"]["height"] - 36}
    about = panels[0].pop("about") if panels else {"title": "", "caption": ""}
    for one in panels:
        one.pop("about", None)
    return {
        "kind": f"method {suite}",
        "across": 2,
        "panels": panels,
        "title": about["title"],
        "caption": f"{about['caption']} Filled: told apart; open: not.",
    }


def pass_figure(report: Mapping[str, Any], place: int, suite: str) -> Figure:
    """pass@k against k on one suite, a panel a point, the base dotted in each."""
    looks = appearances(report)
    curves = [curve for curve in report["curves"] if curve["suite"] == suite]
    ticks = sorted({k for curve in curves for k in curve["k"]})
    base = [curve for curve in curves if curve["arm"] is None]
    heights = [
        100 * one for curve in curves for key in ("value", "low", "high") for one in curve[key] if one is not None
    ]
    panels = []
    for point, title in POINTS.items():
        own = [curve for curve in curves if curve["point"] == point and curve["arm"] is not None]
        data = [pass_line(curve, looks[curve["arm"]], index, len(own)) for index, curve in enumerate(own)]
        if data:
            data = [pass_line(curve, looks[None], 0, 1) for curve in base] + data
        layout = {
            "xaxis": {"title": {"text": "k"}, "type": "log", "tickvals": ticks, "ticktext": [str(k) for k in ticks]},
            "yaxis": {"title": {"text": "pass@k, %"}, "range": spread(heights)},
        }
        panels.append(panel(f"figure-pass-{place}-{point}", sentence_case(title), data, layout))
    return {
        "kind": "pass",
        "suite": suite,
        "title": f"pass@k on {suite}",
        "across": 2,
        "panels": panels,
        "caption": "Unbiased estimate, mean over seeds; bars: intervals over problems, for these very runs. "
        "Dotted: the base.",
    }


def pass_line(curve: Row, look: Look, index: int, lines: int) -> Figure:
    """One curve; lines stand a little apart so that their intervals are seen."""
    apart = 1.03 ** (index - (lines - 1) / 2)
    keys = ("value", "low", "high")
    rows = [dict(zip(keys, point, strict=True)) for point in zip(*(curve[key] for key in keys), strict=True)]
    said = [f"{look['name']}, pass@{k}" for k in curve["k"]]
    return line(look, [k * apart for k in curve["k"]], rows, "share", said, bars=True)


def transfer_figure(report: Mapping[str, Any]) -> Figure:
    """In domain against out of it by the headline metric: an arrow an arm from RL entry to the end, seeds thin."""
    looks = appearances(report)
    unit = report["transfer"][0]["unit"] if report["transfer"] else "share"
    data: list[Figure] = []
    for one in sorted(report["transfer"], key=lambda row: row["seed"] is None):
        look = looks[one["arm"]]
        corners = [one["from"], one["to"]]
        if any(corner[side] is None for corner in corners for side in ("in", "out")):
            continue
        mean = one["seed"] is None
        who = look["name"] if mean else f"{look['name']}, seed {one['seed']}"
        x = [scale(unit) * corner["in"] for corner in corners]
        rows = [{"value": corner["out"], "low": None, "high": None} for corner in corners]
        marker = {"symbol": "arrow", "size": [0, 13] if mean else [0, 7], "angleref": "previous", "opacity": 1}
        arrow = line(look, x, rows, unit, [who] * 2, marker=marker)
        start = line(look, x[:1], rows[:1], unit, [who], mode="markers", marker={"size": 8 if mean else 4})
        for trace, said in ((arrow, list(POINTS.values())), (start, ["at RL entry"])):
            trace["customdata"] = [
                [text(f"{who} {when}"), quantity(corner["in"], unit), quantity(corner["out"], unit)]
                for when, corner in zip(said, corners, strict=False)
            ]
            trace["hovertemplate"] = "%{customdata[0]}: in domain %{customdata[1]}, out of it %{customdata[2]}"
            data.append(trace if mean else {**trace, "opacity": 0.35, "line": {**trace["line"], "width": 1}})
    metric, domain = report["headline"] or "score", report["domain"]
    layout = {
        "height": 400,
        "xaxis": {"title": {"text": text(f"{domain['in']} (in domain), {UNITS[unit]}")}, "showgrid": True},
        "yaxis": {"title": {"text": text(f"{', '.join(domain['out'])} (out), {UNITS[unit]}")}},
    }
    return {
        "kind": "transfer",
        "title": "Transfer",
        "across": 1,
        "panels": [panel("figure-transfer", "", data, layout)],
        "caption": f"{sentence_case(metric)}, in the training domain against out of it: an arrow from RL entry to the "
        "end, the mean over seeds; seeds thin.",
    }


def gain_figure(report: Mapping[str, Any]) -> Figure:
    """Entropy at RL entry against what Stage 2 gained, a point a run."""
    looks, unit, gain = appearances(report), regime_unit(report), report["regime"]["gain"]
    gained = gain["unit"]
    data = []
    for arm in report["arms"]:
        look = looks[arm["name"]]
        rows = [point for point in gain["points"] if point["arm"] == arm["name"]]
        if not rows:
            continue
        points = [{"value": row["gain"], "low": None, "high": None} for row in rows]
        said = [f"{look['name']}, seed {row['seed']}" for row in rows]
        trace = line(
            look,
            [scale(unit) * row["entropy"] for row in rows],
            points,
            gained,
            said,
            mode="markers",
            marker={"size": 9},
        )
        trace["customdata"] = [
            [
                text(label),
                change(row["gain"], gained),
                f" at {quantity(row['entropy'], unit)}",
            ]
            for label, row in zip(said, rows, strict=True)
        ]
        data.append(trace)
    layout = {
        "height": 400,
        "xaxis": {"title": axis("entropy at RL entry", unit), "showgrid": True},
        "yaxis": {
            "title": {
                "text": text(f"gain in {report['headline']}, {'points' if gained == 'share' else UNITS[gained]}")
            },
            "zerolinecolor": "var(--axis)",
        },
    }
    return {
        "kind": "gain",
        "title": "Entropy at RL entry against gain",
        "across": 1,
        "panels": [panel("figure-gain", "", data, layout)],
        "caption": f"{gain['sentence']} A point a run.",
    }
