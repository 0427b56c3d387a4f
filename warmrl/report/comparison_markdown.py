"""The report of a comparison as Markdown, with the numbers and words of its page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from warmrl.report.comparison_tables import RULES, TESTS, claims, family, few, method_suites, target_suites
from warmrl.report.markdown import (
    CLAIM,
    contrasts,
    curves,
    evaluations,
    fenced,
    findings,
    grid,
    method,
    plain,
    sampling,
    table,
)
from warmrl.report.words import quantity


def render(report: Mapping[str, Any]) -> str:
    """The whole report."""
    lines = [f"# {plain(report['name'])}", ""]
    if report["relaxed"]:
        lines += ["## Compared by force", "", *(f"- {plain(one)}" for one in report["relaxed"]), ""]
    lines += [f"- {plain(item['text'])}" for item in report["answer"]] or ["Nothing was compared."]
    lines += ["", f"{plain(claims(report))} {method(report)}", "", "## Targets", ""]
    lines += table(["target", "source"], [[target["label"], target["source"]] for target in report["targets"]])
    lines += methods(report)
    if len(report["family"]["pairs"]) > 1 and report["standings"]:
        lines += ["", "## What can be told apart", "", f"{plain(family(report))} {CLAIM}", "", *standings(report)]
    for suite in target_suites(report):
        lines += ["", f"## {plain(suite['name'])}: {suite['problems']} problems", ""]
        lines += [plain(CLAIM + suite["graded"]), "", *grid(suite["grid"])]
        for pair in suite["pairs"] if few(report) else ():
            lines += ["", f"### {plain(pair['pair'])}", "", CLAIM, ""]
            lines += contrasts(pair["rows"], "metric", over_time=False)
        for group in () if few(report) else suite["metrics"]:
            lines += ["", f"### Differences in {plain(group['metric'])}", "", CLAIM, ""]
            lines += contrasts(group["rows"], "pair", over_time=False)
        if suite["curves"]:
            lines += ["", "### pass@k, %", "", CLAIM, "", *curves(suite)]
    lines += ["", f"{RULES} {TESTS} {plain(family(report))}", *evaluations(report), *findings(report)]
    lines += ["", "## How the answers were sampled", "", *sampling(report)]
    lines += ["", "## How to reproduce it", "", *fenced("\n".join(report["reproduce"])), "", "Environment:", ""]
    return "\n".join([*lines, *fenced(report["environment"])]) + "\n"


def methods(report: Mapping[str, Any]) -> list[str]:
    """What may be said of methods: means of arms, and their differences."""
    found = report["methods"]
    if not found["contrasts"]:
        return []
    lines = ["", "## Methods", *(line for one in found["refused"] for line in ("", f"- {plain(one)}"))]
    for suite in method_suites(report):
        lines += ["", f"### Methods on {plain(suite['name'])}", "", found["claim"], "", *grid(suite["grid"])]
        for one, two in suite["pairs"]:
            rows = [row for row in suite["rows"] if (row["from"], row["to"]) == (one, two)]
            lines += ["", f"#### {plain(one)} → {plain(two)}", "", found["claim"], ""]
            lines += contrasts(rows, "metric", over_time=False)
    return lines


def standings(report: Mapping[str, Any]) -> list[str]:
    """How many pairs can be told apart by each suite and metric, and what stands beside the highest."""
    return table(
        ["suite", "metric", "pairs told apart", "highest", "not told apart from it"],
        [
            [
                row["suite"],
                row["metric"],
                f"{row['resolved']} of {row['pairs']}",
                f"{row['highest']}, {quantity(row['value'], row['unit'])}",
                ", ".join(row["beside"]),
            ]
            for row in report["standings"]
        ],
    )
