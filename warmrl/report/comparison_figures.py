"""The figures of a comparison: differences, pass@k curves, entropy and diversity, transfer; a colour a target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
        for kind, rows, over in (
            ("method", report["methods"]["contrasts"], "crossed over seeds and problems"),
            ("difference", report["contrasts"], "over problems"),
        ):
            found.append({**differences(rows, suite, over), "id": f"figure-{kind}-{place}", "kind": kind})
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


def listing(names: Sequence[str], row: int) -> Figure:
    """The layout of a figure with a row a name from the top, `row` pixels high, its legend just below the axis."""
    rows = max(row * len(names), 3 * ROW)
    return {
        "height": rows + MARGIN_AROUND,
        "legend": {"y": -64 / rows},
        "yaxis": {
            "tickvals": list(range(len(names))),
            "ticktext": list(names),
            "range": [len(names) - 0.5, -0.5],
            "showgrid": False,
            "zeroline": False,
        },
        "hovermode": "closest",
    }


def scale(unit: str) -> float:
    """Shares are drawn in percent."""
    return 100.0 if unit == "share" else 1.0


def differences(contrasts: Sequence[Row], suite: str, over: str) -> Figure:
    """Differences with intervals over the band that this size can't resolve: the first metric's, a row a pair.

    With one pair alone all its shares, a row a metric. `over` says what the intervals are over.
    """
    rows = [row for row in contrasts if row["suite"] == suite and row["difference"] is not None]
    if not rows:
        return {"data": []}
    alone = len({(row["from"], row["to"]) for row in contrasts}) == 1
    unit, factor = rows[0]["unit"], scale(rows[0]["unit"])
    first = "unit" if alone else "metric"
    rows = [row for row in rows if row[first] == rows[0][first]]
    names = [row["metric"] if alone else f"{row['from']} → {row['to']}" for row in rows]
    ticks = [text(row["metric"]) if alone else f"{short(row['from'])} → {short(row['to'])}" for row in rows]
    title = f"{rows[0]['from']} → {rows[0]['to']}" if alone else rows[0]["metric"]
    caption = (
        f"Second minus first, with intervals {over}. The band is what this size can't resolve: told apart is a "
        "difference outside of it, of small enough adjusted p."
    )
    points = [difference_points(rows, names, resolved) for resolved in (True, False)]
    axis = {"share": "points", "nats": "nats per token"}.get(unit, UNITS[unit])
    layout = {
        **listing(ticks, ROW),
        "xaxis": {"title": {"text": f"difference, {axis}"}, "zerolinecolor": "var(--axis)", "showgrid": True},
        "barmode": "overlay",
    }
    data = [unresolvable(rows, factor), *filter(None, points)]
    return {"suite": suite, "title": f"{title} on {suite}", "caption": caption, "data": data, "layout": layout}


def unresolvable(rows: Sequence[Row], factor: float) -> Figure:
    """A band from minus to plus the detectable difference behind each row."""
    reach = [factor * (row["mde"] or 0) for row in rows]
    return {
        "type": "bar",
        "orientation": "h",
        "name": "not resolvable at this size",
        "y": list(range(len(rows))),
        "x": [2 * width for width in reach],
        "base": [-width for width in reach],
        "width": 0.62,
        "marker": {"color": "var(--band)"},
        "hoverinfo": "skip",
    }


def difference_points(rows: Sequence[Row], names: Sequence[str], resolved: bool) -> Figure | None:
    """The differences that are told apart, or those that are not, as points with intervals."""
    places = [place for place, row in enumerate(rows) if row["resolved"] is resolved]
    if not places:
        return None
    own, factor = [rows[place] for place in places], scale(rows[0]["unit"])
    shade = "var(--c1)" if resolved else "var(--c0)"
    bars = error_bars([{**row, "value": row["difference"]} for row in own], factor)
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "told apart" if resolved else "not told apart",
        "x": [factor * row["difference"] for row in own],
        "y": places,
        "error_x": {**bars, "color": shade},
        "marker": {"color": shade, "symbol": "circle" if resolved else "circle-open", "size": 8},
        "customdata": [
            [
                text(names[place]),
                change(row["difference"], row["unit"]),
                span(row["low"], row["high"], row["unit"], signed=True),
            ]
            for place, row in zip(places, own, strict=True)
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
        **listing([short(name) for name in targets], max(36, 14 * len(suites))),
        "xaxis": {"title": {"text": f"{metric}, {UNITS[unit]}"}, "showgrid": True},
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
    said = {"in": " (in the training domain)", "out": " (out of it)"}
    words = [f"{suite}{said.get(report['domains'].get(suite), '')}" for suite in (one, two)]
    layout = {
        "xaxis": {"title": {"text": text(f"{one}, %")}, "showgrid": True},
        "yaxis": {"title": {"text": text(f"{two}, %")}},
        "hovermode": "closest",
    }
    caption = f"Each target's {metric} on {words[0]} and {words[1]}, with intervals over problems."
    return {"title": f"From {one} to {two}", "caption": caption, "data": data, "layout": layout}
