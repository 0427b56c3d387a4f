"""How the arms of a study look in every figure: a colour and a symbol an arm, bands over problems, bars over seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from warmrl.report.figures import SYMBOLS, Figure, Row, text
from warmrl.report.words import UNITS, number, quantity, span

Look = dict[str, str]

COLOURS = 8
BASE = "base"
SHAPES = {
    "circle": "M5,0A5,5 0 1,1 -5,0A5,5 0 1,1 5,0Z",
    "square": "M-4.4,-4.4H4.4V4.4H-4.4Z",
    "diamond": "M0,-6L6,0L0,6L-6,0Z",
    "triangle-up": "M0,-5.5L6,4.5H-6Z",
    "cross": "M-2,-6H2V-2H6V2H2V6H-2V2H-6V-2H-2Z",
    "star": "M0,-6.2L1.5,-2H6L2.4,0.8L3.8,5.2L0,2.5L-3.8,5.2L-2.4,0.8L-6,-2H-1.5Z",
    "hexagon": "M0,-5.6L4.9,-2.8V2.8L0,5.6L-4.9,2.8V-2.8Z",
    "pentagon": "M0,-5.6L5.5,-1.6L3.4,4.8H-3.4L-5.5,-1.6Z",
}
"""plotly's symbols as SVG paths around the origin, for the key beside the figures."""


def appearances(report: Mapping[str, Any]) -> dict[str | None, Look]:
    """The look of each arm, in order, and of the base (`None`), which is grey and dotted.

    `group` names the arm in the key of the page, which hides and shows it in all figures.
    """
    looks: dict[str | None, Look] = {
        arm["name"]: {
            "name": arm["name"],
            "color": f"var(--c{place % COLOURS + 1})",
            "symbol": SYMBOLS[place % len(SYMBOLS)],
            "dash": "solid" if place < COLOURS else "dash",
            "group": f"arm-{place}",
        }
        for place, arm in enumerate(report["arms"])
    }
    base = {"name": BASE, "color": "var(--c0)", "symbol": "circle-open", "dash": "dot", "group": BASE}
    return {**looks, None: base}


def key(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The arms as the page's key lists them."""
    looks = appearances(report)
    return [
        {
            **looks[arm["name"]],
            "shape": SHAPES[looks[arm["name"]]["symbol"]],
            "control": arm["name"] == report["control"],
            "route": " → ".join(f"{stage['name']} ({stage['use']})" for stage in arm["stages"]),
        }
        for arm in report["arms"]
    ]


def line(look: Look, x: Sequence[float], rows: Sequence[Row], unit: str, labels: Sequence[str], **more: Any) -> Figure:
    """A line through `value` of each row; `bars`, a pair of keys of low and high, gives error bars where they are."""
    bars = more.pop("bars", None)
    factor = scale(unit)
    trace = {
        "type": "scatter",
        "mode": "lines+markers",
        "name": text(look["name"]),
        "legendgroup": look["group"],
        "showlegend": False,
        "x": list(x),
        "y": [None if row["value"] is None else factor * row["value"] for row in rows],
        "line": {"color": look["color"], "width": 1.75, "dash": look["dash"]},
        "marker": {"color": look["color"], "symbol": look["symbol"], "size": 7, **more.pop("marker", {})},
        "customdata": [
            [text(label), quantity(row["value"], unit), interval(row, unit)]
            for label, row in zip(labels, rows, strict=True)
        ],
        "hovertemplate": "%{customdata[0]}: %{customdata[1]}%{customdata[2]}",
    }
    if bars and any(ends(row, bars) for row in rows):
        trace["error_y"] = {**error_bars(rows, bars, factor), "color": look["color"]}
    return {**trace, **more}


def band(look: Look, x: Sequence[float], rows: Sequence[Row], key: str, unit: str) -> Figure | None:
    """A light band from low to high of `key` of each row; None where no row has one."""
    known = [
        (place, row[key]) for place, row in zip(x, rows, strict=True) if row.get(key) and row[key]["low"] is not None
    ]
    if len(known) < 2:
        return None
    factor = scale(unit)
    return {
        "type": "scatter",
        "mode": "lines",
        "name": text(look["name"]),
        "legendgroup": look["group"],
        "showlegend": False,
        "x": [place for place, _ in known] + [place for place, _ in reversed(known)],
        "y": [factor * one["high"] for _, one in known] + [factor * one["low"] for _, one in reversed(known)],
        "fill": "toself",
        "fillcolor": look["color"],
        "line": {"width": 0},
        "opacity": 0.14,
        "hoverinfo": "skip",
    }


def ends(row: Row, key: str | bool) -> tuple[float, float] | None:
    """Low and high of a row, its own (`key` True) or those of a nested interval; None where there are none."""
    found = row if key is True else row.get(str(key))
    if not found or found["low"] is None or found["high"] is None or row["value"] is None:
        return None
    return found["low"], found["high"]


def error_bars(rows: Sequence[Row], key: str | bool, factor: float) -> Figure:
    """Asymmetric error bars; of no length where a row has no interval."""
    pairs = [(row["value"], ends(row, key) or (row["value"], row["value"])) for row in rows]
    return {
        "type": "data",
        "symmetric": False,
        "array": [None if value is None else factor * (high - value) for value, (_, high) in pairs],
        "arrayminus": [None if value is None else factor * (value - low) for value, (low, _) in pairs],
        "thickness": 1,
        "width": 2.5,
    }


def interval(row: Row, unit: str) -> str:
    """What the hover text says of intervals: the row's own, or those over problems and over seeds apart."""
    if "over_problems" in row:
        said = [(row[key], f"over {key.removeprefix('over_')}") for key in ("over_problems", "over_seeds")]
        parts = [
            f"{span(one['low'], one['high'], unit)} {over}" for one, over in said if one and one["low"] is not None
        ]
        return "".join(f"<br>{part}" for part in parts)
    own = ends(row, True)
    return f" ({span(*own, unit)})" if own else ""


def scale(unit: str) -> float:
    """Shares are drawn in percent."""
    return 100.0 if unit == "share" else 1.0


def axis(metric: str, unit: str) -> Figure:
    """The title of an axis that shows a metric."""
    return {"text": text(f"{metric}, {UNITS[unit]}")}


def spread(values: Sequence[float | None], *, zero: bool = False) -> list[float] | None:
    """The range of an axis that several panels share, a little wider than the values; from zero where that is asked."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    low, high = (min(0.0, *known) if zero else min(known)), max(known)
    margin = 0.06 * (high - low) or 0.05 * (abs(high) or 1.0)
    return [low if zero and low == 0 else low - margin, high + margin]


def panel(name: str, title: str, data: list[Figure], layout: Figure) -> Figure:
    """One panel of a figure: what stands above it, and plotly's data and layout."""
    return {"id": name, "title": title, "data": data, "layout": {"hovermode": "closest", **layout}}


def ratio(value: float) -> str:
    """`\N{MULTIPLICATION SIGN} 1.25`."""
    return f"\N{MULTIPLICATION SIGN} {number(value, 'count')}"
