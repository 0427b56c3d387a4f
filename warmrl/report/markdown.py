"""report.json as Markdown, with the numbers and words of the page."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from warmrl.report.along import along
from warmrl.report.handoff import handoff_tables
from warmrl.report.tables import TOOK, blocks, by_suite, grading, metric_grid, overlapping, spent
from warmrl.report.words import DASH, change, duration, number, percent, probability, rate, span, verdict

Table = Mapping[str, Any]
CLAIM = "Checkpoint claim: intervals over problems."


def render(report: Mapping[str, Any]) -> str:
    """The whole report."""
    lines = [f"# {plain(report['name'])}", "", *answers(report)]
    for suite in by_suite(report):
        lines += ["", f"## {plain(suite['name'])}: {suite['problems']} problems", ""]
        lines += [plain(CLAIM + suite["graded"]), "", *grid(metric_grid(suite, report["roles"]))]
        for pair in suite["pairs"]:
            lines += ["", f"### {plain(pair['from'])} → {plain(pair['to'])} ({pair['pair']})", "", CLAIM, ""]
            lines += contrasts(pair["rows"], "metric")
        if suite["curves"]:
            lines += ["", "### pass@k, %", "", CLAIM, "", *curves(suite)]
    lines += chosen(report)
    for found in along(report):
        lines += [
            "",
            f"## {plain(found['title'])}",
            "",
            *(plain(one) for one in (*found["notes"], found["claim"]) if one),
        ]
        lines += ["", *table(found["heads"], found["rows"])]
    lines += evaluations(report)
    lines += findings(report)
    lines += ["", "## What it took", "", *stages(report)]
    if report["budget"]:
        lines += ["", "## Budget", "", *fenced(report["budget"])]
    lines += ["", "## How to reproduce it", "", *reproduce(report)]
    return "\n".join(lines) + "\n"


def answers(report: Mapping[str, Any]) -> list[str]:
    """The answer first, then what kind of claim it is."""
    found = [f"- {plain(item['text'])}" for item in report["answer"]]
    return [*(found or ["Nothing was compared."]), "", f"{report['claim']} {method(report)}"]


def method(report: Mapping[str, Any]) -> str:
    """How the intervals were made."""
    how = report["interval"]
    return f"Intervals: {how['method']}, {percent(how['level'])}, {how['draws']} draws, seed {how['seed']}."


def grid(found: Table) -> list[str]:
    """Endpoints, each with its interval."""
    heads = [f"{head['name']} ({head['small']})" if head["small"] else head["name"] for head in found["heads"]]
    rows = [
        [f"{row['name']}, {row['small']}" if row["small"] else row["name"], *(cell(one) for one in row["cells"])]
        for row in found["rows"]
    ]
    return table([found["corner"], *heads], rows)


def cell(row: Table | None) -> str:
    """A value and its interval; a dash where there is none."""
    if not row or row["value"] is None:
        return DASH
    return f"{number(row['value'], row['unit'])} ({span(row['low'], row['high'], row['unit'])})"


def contrasts(rows: Iterable[Table], first: str, *, over_time: bool = True) -> list[str]:
    """Paired differences, a row a metric of one pair or a pair by one metric."""
    return table(
        [first, "difference", "interval", "detectable", "p", "McNemar p", "Holm p", "problems", "in words"],
        [
            [
                row["metric"] if first == "metric" else f"{row['from']} → {row['to']}",
                change(row["difference"], row["unit"]),
                span(row["low"], row["high"], row["unit"], signed=True),
                number(row["mde"], row["unit"]),
                probability(row["p"]),
                probability(row["mcnemar"]),
                probability(row["adjusted"]),
                f"{row['n']}" if row["units"] == "problems" else f"{row['n']} clusters",
                verdict(row, over_time=over_time),
            ]
            for row in rows
        ],
    )


def chosen(report: Table) -> list[str]:
    """What hand-off rules chose from."""
    lines: list[str] = []
    for one in handoff_tables(report):
        lines += ["", f"## What {plain(one['stage'])} hands on", ""]
        lines += [f"On {plain(one['on'])}, {one['problems']} problems. Floor: {plain(one['floors'])}. {CLAIM}", ""]
        rows = [
            [row["checkpoint"], str(row["step"]), *(cell(score) for score in row["scores"]), row["verdict"]]
            for row in one["rows"]
        ]
        lines += table(
            [
                "candidate",
                "step",
                *(f"{metric['name']}, {metric['unit']}" for metric in one["metrics"]),
                "what became of it",
            ],
            rows,
        )
    return lines


def curves(suite: Table) -> list[str]:
    """pass@k at each checkpoint, a column a k."""
    rows = [[row["name"], *(cell(one) for one in row["cells"])] for row in suite["curve_rows"]]
    return table(["checkpoint", *(f"k = {k}" for k in suite["ks"])], rows)


def evaluations(report: Table) -> list[str]:
    """How the answers were graded, and the scores without what training may have seen."""
    lines: list[str] = []
    for suite in grading(report):
        lines += ["", f"## How the answers were graded: {plain(suite['name'])}", "", plain(suite["graders"]), ""]
        lines += table(
            ["checkpoint", "disagreement", "score by the second", "samples", "truncated", "no answer", "timed out"],
            [
                [
                    row["checkpoint"],
                    *(rate(row[key]) for key in ("disagreement", "second_score")),
                    str(row["samples"] or DASH),
                    *(rate(row[key]) for key in ("truncated", "no_answer", "timed_out")),
                ]
                for row in suite["rows"]
            ],
        )
    for suite in overlapping(report):
        lines += ["", f"## What training may have seen: {plain(suite['name'])}", ""]
        lines += [f"Without {suite['left_out']} of {suite['problems']} problems. {CLAIM}", ""]
        heads = [head for metric in suite["metrics"] for head in (f"{metric}, %", "without")]
        rows = [
            [
                row["checkpoint"],
                "not checked" if row["found"] is None else str(row["found"]),
                *(cell(one[side]) for one in row["cells"] for side in ("with", "without")),
            ]
            for row in suite["rows"]
        ]
        lines += table(["checkpoint", "problems seen", *heads], rows)
    return lines


def findings(report: Table) -> list[str]:
    """What was found on the way, and what the suites say of themselves."""
    found = [*report["findings"], *report["notes"]]
    return ["", "## Findings on the way", "", *(f"- {plain(one)}" for one in found)] if found else []


def sampling(report: Table) -> list[str]:
    """The sampling blocks, a row a field."""
    found = blocks(report)
    return table(["setting", *found["heads"]], [[row["field"], *row["values"]] for row in found["rows"]])


def stages(report: Table) -> list[str]:
    """What ran, from what, what it took, for how long."""
    return table(
        ["stage", "plugin", "starts from", "steps", *TOOK, "time", "key"],
        [
            [
                stage["name"],
                stage["use"],
                stage["policy"],
                str(stage["steps"] or DASH),
                *stage["took"],
                duration(stage["seconds"]) + (" (reused)" if stage["reused"] else ""),
                stage["key"],
            ]
            for stage in spent(report)
        ],
    )


def reproduce(report: Mapping[str, Any]) -> list[str]:
    """Commands, and what they need."""
    commands = "\n".join(report["reproduce"] or ["warmrl run recipe.json"])
    lines = fenced(commands)
    for title, content in {"Resolved recipe (`recipe.json`)": "recipe", "Environment": "environment"}.items():
        lines += ["", f"{title}:", "", *fenced(report[content])]
    if report["sampling"]:
        lines += ["", "Sampling of evaluations:", "", *sampling(report)]
    return lines


def table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    """A Markdown table: first column to the left, numbers to the right."""
    head = [plain(cell) for cell in heads]
    body = ["| " + " | ".join(plain(cell) for cell in row) + " |" for row in rows]
    return ["| " + " | ".join(head) + " |", "|:---" + "|---:" * (len(head) - 1) + "|", *body]


def fenced(content: Any) -> list[str]:
    """A code block that its content can't end."""
    text = content if isinstance(content, str) else json.dumps(content, indent=2, ensure_ascii=False)
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return [fence, text, fence]


def plain(text: object) -> str:
    """Text on one line in which nothing is markup."""
    return re.sub(r"([\\`*_{}\[\]<>|#~&])", r"\\\1", " ".join(str(text).split()))
