"""The figures of a comparison: differences, pass@k curves, entropy and diversity, transfer. A colour a target (or arm)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from warmrl.report.figures import COLOURS, SYMBOLS, Figure, Row, error_bars, pass_figure, text
from warmrl.report.words import UNITS, change, number, quantity, span

Look = dict[str, str]

DASHES = ("solid", "dot", "dash", "dashdot")
MARGIN_AROUND = 116
"""Pixels of a figure that are no rows: axis, title, legend."""
ROW = 24
LONGEST = 28
"""Letters of a name that an axis shows; the rest is in the hover text and the tables."""


def comparison_figures(report: Mapping[str, Any]) -> list[Figure]:
    """Every figure that the comparison has data for, each with the `kind` of section it belongs to."""
    looks = appearances(report)
    found: list[Figure] = []
    for place, suite in enumerate(report["suites"]):
        found.append({**differences(report, suite), "id": f"figure-difference-{place}", "kind": "difference"})
        curves = [curve for curve in report["curves"] if curve["suite"] == suite]
        found.append({**pass_figure(curves, suite, looks), "id": f"figure-pass-{place}", "kind": "pass"})
    spread = dict.fromkeys(row["metric"] for row in report["endpoints"] if row["higher_is_better"] is None)
    found += [
        {**dots(report, metric, looks), "id": f"figure-spread-{place}", "kind": "spread"}
        for place, metric in enumerate(spread)
    ]
    found += [
        {**transfer(report, one, two, looks), "id": f"figure-transfer-{place}", "kind": "transfer"}
        for place, (one, two) in enumerate(crossings(report))
    ]
    return [figure for figure in found if figure["data"]]


def appearances(report: Mapping[str, Any]) -> dict[str, Look]:
    """Colour, symbol and dash of each target: seeds of one arm share the colour, all other targets have their own."""
    arm_of = {label: arm for arm, labels in report["arms"].items() for label in labels}
    own = list(dict.fromkeys(arm_of.get(name, name) for name in order(report)))
    looks = {}
    for place, name in enumerate(order(report)):
        colour = own.index(arm_of.get(name, name))
        sibling = report["arms"][arm_of[name]].index(name) if name in arm_of else colour // COLOURS
        looks[name] = {
            "color": f"var(--c{colour % COLOURS + 1})",
            "symbol": SYMBOLS[place % len(SYMBOLS)],
            "dash": DASHES[sibling % len(DASHES)],
        }
    return looks


def order(report: Mapping[str, Any]) -> list[str]:
    """The targets in the order given."""
    return [checkpoint["name"] for checkpoint in report["checkpoints"]]


def short(name: str) -> str:
    """A name as an axis shows it."""
    return text(name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…")


def tall(rows: int) -> Figure:
    """The height of a figure whose rows take so many pixels, with its legend just below the axis."""
    return {"height": rows + MARGIN_AROUND, "legend": {"y": -64 / rows}}


def scale(unit: str) -> float:
    """Shares are drawn in percent."""
    return 100.0 if unit == "share" else 1.0


def differences(report: Mapping[str, Any], suite: str) -> Figure:
    """The first metric's differences with intervals, a row a pair, over the band that this size can't resolve."""
    rows = [row for row in report["contrasts"] if row["suite"] == suite and row["difference"] is not None]
    rows = [row for row in rows if row["metric"] == rows[0]["metric"]]
    if not rows:
        return {"data": []}
    unit, metric, factor = rows[0]["unit"], rows[0]["metric"], scale(rows[0]["unit"])
    names = [f"{row['from']} → {row['to']}" for row in rows]
    places = list(range(len(rows)))
    band = {
        "type": "bar",
        "orientation": "h",
        "name": "not resolvable at this size",
        "y": places,
        "x": [2 * factor * (row["mde"] or 0) for row in rows],
        "base": [-factor * (row["mde"] or 0) for row in rows],
        "width": 0.62,
        "marker": {"color": "var(--band)"},
        "hoverinfo": "skip",
    }
    kinds = (("told apart", True, "var(--c1)", "circle"), ("not told apart", False, "var(--c0)", "circle-open"))
    points = [
        difference_points([(place, row, names[place]) for place, row in zip(places, rows, strict=True) if row["resolved"] is resolved], name, shade, symbol)
        for name, resolved, shade, symbol in kinds
    ]
    axis = {"share": "points", "nats": "nats per token"}.get(unit, UNITS[unit])
    layout = {
        **tall(ROW * len(rows)),
        "xaxis": {"title": {"text": f"difference, {axis}"}, "zeroline": True, "zerolinecolor": "var(--axis)", "showgrid": True},
        "yaxis": {
            "tickvals": places,
            "ticktext": [f"{short(row['from'])} → {short(row['to'])}" for row in rows],
            "range": [len(rows) - 0.5, -0.5],
            "showgrid": False,
            "zeroline": False,
        },
        "hovermode": "closest",
        "barmode": "overlay",
    }
    caption = (
        "Second target minus first, with intervals over problems. The band is what these problems can’t resolve: "
        "told apart is a difference outside of it, of small enough adjusted p."
    )
    return {"suite": suite, "title": f"{metric} on {suite}", "caption": caption, "data": [band, *filter(None, points)], "layout": layout}


def difference_points(rows: list[tuple[int, Row, str]], name: str, shade: str, symbol: str) -> Figure | None:
    """The differences of one kind (told apart or not) as points with intervals."""
    if not rows:
        return None
    factor = scale(rows[0][1]["unit"])
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [factor * row["difference"] for _, row, _ in rows],
        "y": [place for place, _, _ in rows],
        "error_x": {**error_bars([{**row, "value": row["difference"]} for _, row, _ in rows], factor), "color": shade},
        "marker": {"color": shade, "symbol": symbol, "size": 8},
        "customdata": [
            [text(label), change(row["difference"], row["unit"]), span(row["low"], row["high"], row["unit"], signed=True)]
            for _, row, label in rows
        ],
        "hovertemplate": "%{customdata[0]}: %{customdata[1]} (%{customdata[2]})<extra></extra>",
    }


def dots(report: Mapping[str, Any], metric: str, looks: Mapping[str, Look]) -> Figure:
    """One metric of every target as a point with its interval, a row a target and a symbol a suite."""
    rows = [row for row in report["endpoints"] if row["metric"] == metric and row["value"] is not None]
    targets = [name for name in order(report) if any(row["checkpoint"] == name for row in rows)]
    suites = [suite for suite in report["suites"] if any(row["suite"] == suite for row in rows)]
    data = []
    for place, suite in enumerate(suites):
        own = [row for row in rows if row["suite"] == suite]
        apart = 0.22 * (place - (len(suites) - 1) / 2)
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": text(suite),
                "x": [row["value"] * scale(row["unit"]) for row in own],
                "y": [targets.index(row["checkpoint"]) + apart for row in own],
                "error_x": {**error_bars(own, scale(own[0]["unit"])), "color": "var(--axis)"},
                "marker": {
                    "color": [looks[row["checkpoint"]]["color"] for row in own],
                    "symbol": SYMBOLS[place % len(SYMBOLS)] + ("-open" if place % 2 else ""),
                    "size": 8,
                },
                "customdata": [hover(row) for row in own],
                "hovertemplate": "%{customdata[0]}: %{customdata[1]} (%{customdata[2]})",
            }
        )
    unit = rows[0]["unit"] if rows else "share"
    layout = {
        **tall(max(36, 14 * len(suites)) * len(targets)),
        "xaxis": {"title": {"text": f"{metric}, {UNITS[unit]}"}, "showgrid": True},
        "yaxis": {
            "tickvals": list(range(len(targets))),
            "ticktext": [short(name) for name in targets],
            "range": [len(targets) - 0.5, -0.5],
            "showgrid": False,
            "zeroline": False,
        },
        "hovermode": "closest",
    }
    caption = "Each target with its interval over problems; a symbol a suite."
    return {"title": metric, "caption": caption, "data": data, "layout": layout}


def hover(row: Row) -> list[str]:
    """A point in the hover text: whose, its value, its interval."""
    return [text(row["checkpoint"]), quantity(row["value"], row["unit"]), span(row["low"], row["high"], row["unit"])]


def crossings(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Which suites are set against each other: each in-domain with each out-of-domain, or the first with each other."""
    suites, domains = report["suites"], report["domains"]
    inside = [suite for suite in suites if domains.get(suite) == "in"]
    outside = [suite for suite in suites if domains.get(suite) == "out"]
    if inside and outside:
        return [(one, two) for one in inside for two in outside]
    return [(suites[0], two) for two in suites[1:]] if suites else []


def transfer(report: Mapping[str, Any], one: str, two: str, looks: Mapping[str, Look]) -> Figure:
    """The first score on one suite against that on another, a point a target with intervals on both axes."""
    scores = [row for row in report["endpoints"] if row["higher_is_better"] and row["unit"] == "share"]
    cells = {(row["checkpoint"], row["suite"], row["metric"]): row for row in scores if row["value"] is not None}
    metric = next((row["metric"] for row in scores if row["suite"] == one), "")
    data = []
    for name in order(report):
        across, up = cells.get((name, one, metric)), cells.get((name, two, metric))
        if across is None or up is None:
            continue
        look = looks[name]
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": text(name),
                "x": [100 * across["value"]],
                "y": [100 * up["value"]],
                "error_x": {**error_bars([across], 100.0), "color": look["color"]},
                "error_y": {**error_bars([up], 100.0), "color": look["color"]},
                "marker": {"color": look["color"], "symbol": look["symbol"], "size": 9},
                "customdata": [[number(across["value"], "share"), number(up["value"], "share")]],
                "hovertemplate": f"{text(one)} %{{customdata[0]}} %, {text(two)} %{{customdata[1]}} %",
            }
        )
    domains = report["domains"]
    said = {"in": " (in-domain)", "out": " (out-of-domain)"}
    words = {suite: f"{suite}{said.get(domains.get(suite), '')}" for suite in (one, two)}
    layout = {
        "xaxis": {"title": {"text": text(f"{words[one]}, %")}, "showgrid": True},
        "yaxis": {"title": {"text": text(f"{words[two]}, %")}},
        "hovermode": "closest",
    }
    caption = f"Each target’s {metric} on both suites, with intervals over problems."
    return {"title": f"From {one} to {two}", "caption": caption, "data": data, "layout": layout}
