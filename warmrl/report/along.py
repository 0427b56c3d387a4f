"""Tables of text for what not every run has: the probe, the Generalization Factor, counters, what curators kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from warmrl.report.words import CLAIM, DASH, UNITS, number, span

Table = dict[str, Any]
Report = Mapping[str, Any]

FUNNEL = "What each step of a curator was given and kept; every item is kept or dropped once."
PLACES = {"base": "base", "entry": "RL entry", "end": "end"}
BESIDE = {"base": "entropy / base", "entry": "entropy / RL entry"}
COUNTERS = (
    "Counted in every step's samples, without being rewarded: the mean over the first and the last fifth of the steps, "
    "and Spearman's rank correlation with each other reward over the steps (interval: blocks of neighbouring steps). "
    "What both follow over the whole run correlates too; it is no cause."
)


def along(report: Report) -> list[Table]:
    """Every such table that the report has data for: `title`, `claim`, `heads`, `rows` (lists of text), `notes`."""
    found = [points(report), factors(report), counters(report), *funnels(report)]
    return [one for one in found if one is not None]


def points(report: Report) -> Table | None:
    """The points of the probe: every metric with its interval, entropy beside the base's and RL entry's, flags."""
    held = report.get("probe", {})
    if not held:
        return None
    metrics = {row["metric"]: row["unit"] for row in held["endpoints"]}
    cells = {(row["checkpoint"], row["metric"]): row for row in held["endpoints"]}
    beside = [one for one in BESIDE if any(one in point["relative"] for point in held["points"])]
    rows = []
    for point in held["points"]:
        own = [cells[point["checkpoint"], metric] for metric in metrics]
        flags = [
            f"{one['kind']} ({one['against']})" for one in held["flags"] if one["checkpoint"] == point["checkpoint"]
        ]
        rows.append(
            [
                point["checkpoint"],
                PLACES.get(point["role"], DASH),
                str(point["x"]),
                *(f"{number(one['value'], one['unit'])} ({span(one['low'], one['high'], one['unit'])})" for one in own),
                *(times(point["relative"].get(one)) for one in beside),
                ", ".join(flags) or DASH,
            ]
        )
    heads = [f"{metric}, {UNITS[unit]}" for metric, unit in metrics.items()]
    heads = ["checkpoint", "place", "step", *heads, *(BESIDE[one] for one in beside), "regime"]
    low, high = (f"{held['thresholds'][kind]:g}" for kind in ("collapse", "explosion"))
    notes = [
        f"On {held['on']}: the same {held['problems']} problems and {held['samples']} samples each at every point; "
        "steps are since the base.",
        f"Collapse, explosion: entropy below {low} times, above {high} times that of the reference in brackets, and so "
        "its whole interval, paired over problems; point by point, not adjusted for their number.",
    ]
    return {"title": "Probe", "claim": CLAIM, "heads": heads, "rows": rows, "notes": notes if beside else notes[:1]}


def times(one: Report | None) -> str:
    """A ratio with its interval."""
    if one is None or one["ratio"] is None:
        return DASH
    return f"{number(one['ratio'], 'count')} ({span(one['low'], one['high'], 'count')})"


def factors(report: Report) -> Table | None:
    """The Generalization Factor of each checkpoint, and the sides behind it."""
    held = report.get("generalization", {})
    if not held.get("points"):
        return None
    gains, unit = held["form"] == "gains", held["unit"]
    what = "gain" if gains else "score"
    rows = [
        [
            point["checkpoint"],
            point["baseline"] or DASH,
            number(point["in_domain"], unit, signed=gains),
            number(point["out_of_domain"], unit, signed=gains),
            number(point["value"], unit) + (" (clamped)" if point["clamped"] else ""),
            span(point["low"], point["high"], unit),
            number(point["clamped_draws"], "share"),
        ]
        for point in held["points"]
    ]
    outside = " + ".join(f"{weight:g} {suite}" for suite, weight in held["out_of_domain"].items())
    notes = [
        f"Of {held['metric']}: in domain {held['in_domain']}, out of domain {outside}; beta {held['beta']:g} "
        "(SPECS, arXiv:2510.25801). A side that is not above zero makes it 0, clamped; the last column says in what "
        "percentage of the resamples."
    ]
    heads = ["checkpoint", "over", f"in-domain {what}", f"out-of-domain {what}", "GF", "interval", "clamped"]
    return {"title": "Generalization Factor", "claim": CLAIM, "heads": heads, "rows": rows, "notes": notes}


def counters(report: Report) -> Table | None:
    """What was counted, and how it goes with what was rewarded."""
    rows = [
        [
            row["stage"],
            row["counter"],
            number(row["first"], "count"),
            number(row["last"], "count"),
            row["reward"],
            number(row["value"], "count", signed=True),
            span(row["low"], row["high"], "count", signed=True),
            str(row["n"]),
        ]
        for row in report.get("counters", ())
    ]
    heads = ["stage", "counter", "first", "last", "with reward", "rank correlation", "interval", "steps"]
    claim = "One run: no claim about methods."
    return {"title": "Counters", "claim": claim, "heads": heads, "rows": rows, "notes": [COUNTERS]} if rows else None


def funnels(report: Report) -> Iterator[Table]:
    """What each curator's steps let through."""
    for stage in report["stages"]:
        rows = [
            [step["step"], str(step["taken"]), str(step["kept"]), reasons(step["dropped"])]
            for step in stage.get("funnel", ())
        ]
        if rows:
            title = f"Funnel of {stage['name']} ({stage['use']})"
            heads = ["step", "in", "out", "dropped"]
            yield {"title": title, "claim": "", "heads": heads, "rows": rows, "notes": [FUNNEL]}


def reasons(dropped: Mapping[str, int]) -> str:
    """Why items were left out, most frequent first."""
    ordered = sorted(dropped.items(), key=lambda one: (-one[1], one[0]))
    return ", ".join(f"{count} {why}" for why, count in ordered if count) or DASH
