"""The report's tables, shared by the page and Markdown: what stands in which row and column."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Table = dict[str, Any]


def by_suite(report: Mapping[str, Any]) -> list[Table]:
    """For each suite: its checkpoints as columns, a row of endpoints a metric, its contrasts by pair, its curves."""
    return [
        {
            "name": suite,
            "columns": [name for name in names(report) if any(row["checkpoint"] == name for row in rows)],
            "rows": [
                {
                    "metric": metric,
                    "unit": next(row["unit"] for row in rows if row["metric"] == metric),
                    "cells": {row["checkpoint"]: row for row in rows if row["metric"] == metric},
                }
                for metric in dict.fromkeys(row["metric"] for row in rows)
            ],
            "problems": max((row["n"] + row["missing"] for row in rows), default=0),
            "pairs": pairs(report, suite),
            "curves": [curve for curve in report["curves"] if curve["suite"] == suite],
        }
        for suite in report["suites"]
        for rows in [[row for row in report["endpoints"] if row["suite"] == suite]]
    ]


def names(report: Mapping[str, Any]) -> list[str]:
    """The evaluated checkpoints, in order."""
    return [checkpoint["name"] for checkpoint in report["checkpoints"]]


def pairs(report: Mapping[str, Any], suite: str) -> list[Table]:
    """The contrasts of a suite, grouped by the pair of checkpoints."""
    rows = [row for row in report["contrasts"] if row["suite"] == suite]
    return [
        {
            "pair": pair,
            "from": same[0]["from"],
            "to": same[0]["to"],
            "problems": max(row["n"] for row in same),
            "rows": same,
        }
        for pair in dict.fromkeys(row["pair"] for row in rows)
        for same in [[row for row in rows if row["pair"] == pair]]
    ]


def stage_times(report: Mapping[str, Any]) -> list[Table]:
    """Each stage with its share of the longest stage's time, in percent."""
    longest = max((stage["seconds"] for stage in report["stages"]), default=0.0)
    return [
        {**stage, "width": round(100 * stage["seconds"] / longest, 1) if longest else 0.0} for stage in report["stages"]
    ]
