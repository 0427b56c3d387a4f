"""The tables of a comparison: targets or arms in rows, metrics in columns, contrasts by metric."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from warmrl.report.tables import Table, by_suite, groups, target_grid

RULES = (
    "“Detectable” is the difference that this many problems would show with 80 % power. A difference is called "
    "resolved when its interval excludes zero, it is at least that large, and its Holm-adjusted p is small enough."
)
"""When a difference is called resolved; `warmrl.stats.contrasts` keeps it."""
TESTS = "p: sign-flip permutation, two-sided. McNemar: exact, for scores of right or wrong."


FEW = 3
"""Pairs up to which each has a table of its own, a row a metric; more are listed metric by metric."""


def target_suites(report: Mapping[str, Any]) -> list[Table]:
    """For each suite: its endpoints by target, and its contrasts by metric."""
    return [
        {
            **suite,
            "grid": target_grid(suite),
            "metrics": groups(report, suite["name"], "metric"),
            "domain": report["domains"].get(suite["name"]),
        }
        for suite in by_suite(report)
    ]


def standings(report: Mapping[str, Any]) -> dict[str, list[Table | None]]:
    """What can be told apart: a row a metric, a column a suite."""
    cells = {(row["metric"], row["suite"]): row for row in report["standings"]}
    return {
        metric: [cells.get((metric, suite)) for suite in report["suites"]]
        for metric in dict.fromkeys(row["metric"] for row in report["standings"])
    }


def few(report: Mapping[str, Any]) -> bool:
    """Whether each pair has a table of its own."""
    return len(report["family"]["pairs"]) <= FEW


def method_suites(report: Mapping[str, Any]) -> list[Table]:
    """For each suite: the means of the arms, and their contrasts."""
    found = report["methods"]
    suites = []
    for suite in report["suites"]:
        ends = [row for row in found["endpoints"] if row["suite"] == suite]
        arms = list(dict.fromkeys(row["arm"] for row in ends))
        if not arms:
            continue
        rows = [row for row in found["contrasts"] if row["suite"] == suite]
        most = max((row["n"] for row in rows), default=0)
        table = {
            "columns": arms,
            "rows": [
                {
                    "metric": metric,
                    "unit": next(row["unit"] for row in ends if row["metric"] == metric),
                    "cells": {row["arm"]: row for row in ends if row["metric"] == metric},
                }
                for metric in dict.fromkeys(row["metric"] for row in ends)
            ],
        }
        seeds = {row["arm"]: f"{row['seeds'][0]} seeds" for row in ends}
        suites.append(
            {
                "name": suite,
                "grid": target_grid(table, "arm", seeds),
                "rows": [{**row, "problems": most} for row in rows],
                "pairs": list(dict.fromkeys((row["from"], row["to"]) for row in rows)),
            }
        )
    return suites


def claims(report: Mapping[str, Any]) -> str:
    """What kinds of claim the page holds."""
    methods = report["methods"]
    if methods["contrasts"]:
        return f"{methods['claim']} Tables of single targets hold checkpoint claims: intervals over problems."
    return " ".join([report["claim"], *methods["refused"]])


def family(report: Mapping[str, Any]) -> str:
    """The declared family, over which Holm's adjustment is made."""
    control, size = report["family"]["control"], len(report["family"]["pairs"])
    kind = f"each other target against {control}" if control else "all pairs"
    apart = " but seeds of one arm" if report["arms"] and not control else ""
    return f"Holm's family, for each suite and metric: {kind}{apart} ({size})."
