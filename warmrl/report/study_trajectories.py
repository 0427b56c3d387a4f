"""Figures over the steps of a study: the entropy regime of every arm, its separation from the control, training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from warmrl.report.figures import Figure, Row, text
from warmrl.report.study_looks import Look, appearances, axis, band, line, panel, scale, spread
from warmrl.report.words import UNITS, change, sentence_case, span

MARKS = 7
"""Symbols on a line of many points, enough to tell arms apart without their colours."""


def trajectory_figures(report: Mapping[str, Any]) -> list[Figure]:
    """Every figure over steps that the study has data for; `kind` is the section it stands in."""
    found = [regime_figure(report), separation_figure(report)]
    found += [training_figure(report, field, unit) for field, unit in (("reward", "mean reward"), ("length", "tokens"))]
    return [figure for figure in found if any(one["data"] for one in figure["panels"])]


def regime_figure(report: Mapping[str, Any]) -> Figure:
    """Two panels on one scale: the warm start by share of its steps, then the outcome stage by step."""
    regime, looks, unit = report["regime"], appearances(report), regime_unit(report)
    base = next((row for row in regime.get("curves", ()) if row["arm"] is None), None)
    ended = {one["to"]: ends for one in regime.get("separation", ()) if (ends := end(one)) is not None}
    panels = []
    bounds: list[float | None] = []
    for part, title in (("warm", "Warm start"), ("outcome", f"Stage 2 ({report['outcome']})")):
        data: list[Figure] = []
        lines: list[Figure] = []
        for arm in report["arms"]:
            look = looks[arm["name"]]
            x, rows = track(regime.get("curves", ()), arm["name"], part, base)
            if not rows:
                continue
            data.append(band(look, x, rows, "over_problems", unit) or {})
            lines.append(line(look, x, rows, unit, labels(look, x, part), bars="over_seeds"))
            if part == "outcome" and arm["name"] in ended:
                lines.append(ring(look, ended[arm["name"]], x, rows, unit))
            bounds += heights(rows, unit)
        last = max((place for one in lines for place in one["x"]), default=0)
        if base and lines:
            flat = [base, base]
            lines.insert(0, line(looks[None], [0, last], flat, unit, ["base"] * 2, mode="lines"))
            bounds += heights(flat, unit)
        layout: Figure = {"xaxis": {"title": {"text": "share of its steps, %" if part == "warm" else "step"}}}
        layout["xaxis"] |= {"range": [-0.03 * last, 1.03 * last]}
        panels.append(panel(f"figure-entropy-{part}", title, [one for one in data + lines if one], layout))
    for one in panels:
        one["layout"]["yaxis"] = {"title": axis(regime.get("metric", "entropy"), unit), "range": spread(bounds)}
    return {
        "kind": "regime",
        "title": f"{sentence_case(regime.get('metric', 'entropy'))} through both stages",
        "across": 2,
        "panels": panels,
        "caption": "One probe set, one estimator at every point. Shaded: intervals over problems. Bars: intervals over "
        "seeds. Dotted: the base. A ring: the last step at which the arm is told apart from the control.",
    }


def regime_unit(report: Mapping[str, Any]) -> str:
    """The unit of the probe's metric."""
    return str(report["regime"].get("unit", "nats"))


def track(curves: Sequence[Row], arm: str, part: str, base: Row | None) -> tuple[list[float], list[Row]]:
    """Places and points of an arm in one part; the warm start starts from the base, Stage 2 at RL entry, step 0."""
    rows = [row for row in curves if row["arm"] == arm and row["part"] == part]
    if part == "outcome":
        return [float(row["step"]) for row in rows], rows
    stages = list(dict.fromkeys(row["stage"] for row in rows))
    x = [100 * (stages.index(row["stage"]) + row["share"]) / len(stages) for row in rows]
    return ([0.0, *x], [base, *rows]) if rows and base and x[0] > 0 else (x, rows)


def labels(look: Look, x: Sequence[float], part: str) -> list[str]:
    """What the hover text calls each point."""
    return [
        f"{look['name']}, {place:.0f} % of the warm start" if part == "warm" else f"{look['name']}, step {place:g}"
        for place in x
    ]


def heights(rows: Sequence[Row], unit: str) -> list[float | None]:
    """Every height that a curve reaches with its intervals."""
    values = [row["value"] for row in rows]
    values += [
        row[over][side]
        for row in rows
        for over in ("over_problems", "over_seeds")
        if row.get(over)
        for side in ("low", "high")
    ]
    return [None if value is None else scale(unit) * value for value in values]


def ring(look: Look, step: float, x: Sequence[float], rows: Sequence[Row], unit: str) -> Figure:
    """A ring around the point of a curve at (or next after) `step`."""
    place = next((index for index, one in enumerate(x) if one >= step), len(x) - 1)
    marker = {"symbol": "circle-open", "size": 15, "line": {"width": 2}}
    label = f"{look['name']}: told apart from the control up to step {step:g}"
    return line(look, [x[place]], [rows[place]], unit, [label], mode="markers", marker=marker)


def separation_figure(report: Mapping[str, Any]) -> Figure:
    """Each arm's difference from the control by step, a panel an arm on one scale."""
    looks, unit = appearances(report), regime_unit(report)
    found = [one for one in report["regime"].get("separation", ()) if one["rows"]]
    factor = scale(unit)
    ys = [
        factor * row[key]
        for one in found
        for row in one["rows"]
        for key in ("low", "high", "difference")
        if row[key] is not None
    ]
    panels = []
    for place, one in enumerate(found):
        rows = [{**row, "value": row["difference"]} for row in one["rows"]]
        look = looks[one["to"]]
        steps = [row["step"] for row in rows]
        nested = [{**row, "over_problems": {"low": row["low"], "high": row["high"]}} for row in rows]
        trace = line(
            look,
            steps,
            rows,
            unit,
            [f"step {step}" for step in steps],
            marker={"symbol": ["circle" if row["resolved"] else "circle-open" for row in rows]},
        )
        trace["customdata"] = [
            [
                f"step {row['step']}",
                change(row["difference"], unit),
                f" ({span(row['low'], row['high'], unit, signed=True)})",
            ]
            for row in rows
        ]
        data = [item for item in (band(look, steps, nested, "over_problems", unit), trace) if item]
        layout = {
            "height": 215,
            "xaxis": {"title": {"text": f"step of {text(report['outcome'])}"}},
            "yaxis": {
                "range": spread([0.0, *ys]),
                "zeroline": True,
                "zerolinecolor": "var(--axis)",
                "title": {"text": text(UNITS[unit])},
            },
            "shapes": [] if (last := end(one)) is None else [upright(last)],
        }
        panels.append(panel(f"figure-separation-{place}", f"{one['to']} \N{MINUS SIGN} {one['from']}", data, layout))
    return {
        "kind": "separation",
        "title": "Separation from the control",
        "across": 3,
        "panels": panels,
        "caption": "Arm minus control at the same step, with intervals. Filled: told apart; open: not. "
        "The dotted line is the last step at which it is told apart; there is none where that is the last of all, "
        "or it never is.",
    }


def end(one: Mapping[str, Any]) -> int | None:
    """The last step at which an arm is told apart from the control; None where it never is, or still is at the end."""
    return None if not one["rows"] or one["ends"] == one["rows"][-1]["step"] else one["ends"]


def upright(x: float) -> Figure:
    """A thin dotted line at a step."""
    line = {"color": "var(--axis)", "width": 1.5, "dash": "dot"}
    return {"type": "line", "x0": x, "x1": x, "yref": "paper", "y0": 0, "y1": 1, "line": line}


def training_figure(report: Mapping[str, Any], field: str, unit: str) -> Figure:
    """A field of the training rows of the outcome stage: the mean over seeds in full, each seed as a thin line."""
    looks = appearances(report)
    data: list[Figure] = []
    means: list[Figure] = []
    for arm in report["arms"]:
        look = looks[arm["name"]]
        own = [
            row
            for row in report["training"]
            if row["arm"] == arm["name"] and row["part"] == "outcome" and row.get(field) is not None
        ]
        seeds = list(dict.fromkeys(row["seed"] for row in own))
        for seed in seeds if len(seeds) > 1 else ():
            rows = [row for row in own if row["seed"] == seed]
            data.append(plain(look, [row["step"] for row in rows], [row[field] for row in rows]))
        steps = sorted({row["step"] for row in own})
        at = {step: [row[field] for row in own if row["step"] == step] for step in steps}
        common = [step for step in steps if len(at[step]) == len(seeds)]
        if common:
            means.append(mean_line(look, common, [sum(at[step]) / len(seeds) for step in common], unit))
    layout = {
        "xaxis": {"title": {"text": f"step of {text(report['outcome'])}"}},
        "yaxis": {"title": {"text": unit}, "rangemode": "tozero" if field == "length" else "normal"},
    }
    return {
        "kind": "training",
        "title": field.capitalize(),
        "across": 1,
        "panels": [panel(f"figure-{field}", "", data + means, layout)],
        "caption": f"Mean {field} of each step's training samples: the mean over seeds, and each seed thin.",
    }


def plain(look: Look, x: list[Any], y: list[Any]) -> Figure:
    """One seed's line, thin and silent."""
    return {
        "type": "scatter",
        "mode": "lines",
        "name": text(look["name"]),
        "legendgroup": look["group"],
        "showlegend": False,
        "x": x,
        "y": y,
        "line": {"color": look["color"], "width": 1},
        "opacity": 0.22,
        "hoverinfo": "skip",
    }


def mean_line(look: Look, x: list[Any], y: list[Any], unit: str) -> Figure:
    """The mean over seeds, with a few of the arm's symbols along it."""
    return {
        **plain(look, x, y),
        "mode": "lines+markers",
        "line": {"color": look["color"], "width": 1.75, "dash": look["dash"]},
        "marker": {"color": look["color"], "symbol": look["symbol"], "size": 7, "maxdisplayed": MARKS},
        "opacity": 1,
        "hoverinfo": "all",
        "hovertemplate": f"step %{{x}}: %{{y:.4g}} {unit}",
    }
