"""What a hand-off rule chose and what it left, with intervals over the problems that it chose by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from warmrl.report.scores import Suite, Table, check_lengths
from warmrl.report.verdicts import listed
from warmrl.report.words import UNITS, quantity

Record = Mapping[str, Any]


def handoffs(records: Sequence[Record], suites: Sequence[str], settings: Mapping[str, Any]) -> list[Table]:
    """The hand-offs of a run, as report.json has them. Each record is a rule's choice with its `evaluations`."""
    return [handoff(record, suites, settings) for record in records]


def handoff(record: Record, suites: Sequence[str], settings: Mapping[str, Any]) -> Table:
    """One hand-off: its candidates with scores, the chosen one, which can't be told apart from it, and sentences.

    `contrasts` are the chosen candidate minus each other one, by the metric that decides.
    """
    for evaluation in record["evaluations"]:
        check_lengths(evaluation)
    chosen, rule = record["chosen"], record["rule"]
    rest = [one["checkpoint"] for one in record["candidates"] if one["checkpoint"] != chosen]
    pairs = [(name, chosen) for name in rest] if chosen else []
    endpoints, contrasts = Suite(record["evaluations"]).measured(pairs, settings)
    fit = [one["checkpoint"] for one in record["candidates"] if one["meets"]]
    own = [row for row in contrasts if row["metric"] == rule["by"] and row["difference"] is not None]
    found = {
        "stage": record["stage"],
        "rule": rule,
        "floors": floors(rule),
        "on": rule["on"],
        "reported": rule["on"] in suites,
        "problems": record["problems"],
        "chosen": chosen,
        "rejected": rest,
        "beside": [row["from"] for row in own if not row["resolved"] and row["from"] in fit],
        "higher_is_better": record["higher_is_better"],
        "candidates": [
            {
                "checkpoint": one["checkpoint"],
                "step": one["step"],
                "chosen": one["checkpoint"] == chosen,
                "meets": one["meets"],
                "scores": [row for row in endpoints if row["checkpoint"] == one["checkpoint"]],
            }
            for one in record["candidates"]
        ],
        "contrasts": own,
    }
    return found | {"findings": sentences(found)}


def floors(rule: Record) -> dict[str, float]:
    """The floor of each metric that has one."""
    floor = rule.get("floor")
    return floor if isinstance(floor, dict) else {} if floor is None else {rule["by"]: floor}


def sentences(found: Record) -> list[str]:
    """What was chosen and how surely; and that a score on the problems that chose is optimistic."""
    by, on, chosen = found["rule"]["by"], found["on"], found["chosen"]
    where = f"by {by} on {on} ({found['problems']} problems)"
    if chosen is None:
        return [f"Stage `{found['stage']}` hands nothing on: no candidate meets the floor ({asked(found)}), {where}."]
    scores = {
        one["checkpoint"]: score(one, by) + ("" if one["meets"] else ", below the floor") for one in found["candidates"]
    }
    rest, fit = found["rejected"], sum(one["meets"] for one in found["candidates"])
    first = f"Stage `{found['stage']}` hands on {chosen} ({scores[chosen]}), {where}"
    if not rest:
        return [f"{first}: the one candidate."]
    directed = found["higher_is_better"][by] is not None
    why = "" if directed else f"; it is the last that meets the floor ({asked(found)})"
    out = [f"{first}{why}. Rejected: {listed([f'{name} ({scores[name]})' for name in rest])}."]
    if found["beside"]:
        others = "others that meet the floor" if found["floors"] else "others"
        out[0] += (
            f" {len(found['beside'])} of the {fit - 1} {others} can't be told apart from it: {listed(found['beside'])}."
        )
    if directed and found["reported"] and fit > 1:
        out.append(
            f"{by} of {chosen} on {on} is the best of {fit} on the same problems, so it is optimistic as a score, "
            f"and so is what is compared with it there. Let the rule choose on problems of its own (`on` may name a "
            f"`[data.*]` table), and {on} stays a fair test."
        )
    return out


def score(candidate: Record, metric: str) -> str:
    """A candidate's value with its unit."""
    row = next(row for row in candidate["scores"] if row["metric"] == metric)
    return quantity(row["value"], row["unit"])


def asked(found: Record) -> str:
    """The floor in words."""
    units = {row["metric"]: row["unit"] for row in found["candidates"][0]["scores"]}
    sides = {name: "at most" if found["higher_is_better"][name] is False else "at least" for name in found["floors"]}
    return " and ".join(f"{name} {sides[name]} {quantity(v, units[name])}" for name, v in found["floors"].items())


def handoff_tables(report: Record) -> list[Table]:
    """The candidates of each hand-off, a row a candidate and a column a metric, for the page and Markdown."""
    return [
        {
            "stage": one["stage"],
            "on": one["on"],
            "problems": one["problems"],
            "metrics": [{"name": row["metric"], "unit": UNITS[row["unit"]]} for row in one["candidates"][0]["scores"]],
            "floors": asked(one) or "none",
            "rows": [row | {"verdict": verdict(row, one)} for row in one["candidates"]],
        }
        for one in report.get("handoff", [])
    ]


def verdict(candidate: Record, found: Record) -> str:
    """What became of a candidate."""
    if candidate["chosen"]:
        return "handed on"
    if not candidate["meets"]:
        return "below the floor" if found["floors"] else "no value"
    return "rejected, not told apart" if candidate["checkpoint"] in found["beside"] else "rejected"
