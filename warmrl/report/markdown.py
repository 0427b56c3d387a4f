"""report.json as Markdown, with the numbers and words of the page."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from warmrl.report.tables import by_suite
from warmrl.report.words import DASH, change, duration, number, percent, probability, span, verdict

UNITS = {"share": "%", "nats": "nats per token", "count": "answers", "tokens": "tokens"}


def render(report: Mapping[str, Any]) -> str:
    """The whole report."""
    lines = [f"# {plain(report['name'])}", "", *answers(report)]
    for suite in by_suite(report):
        lines += ["", f"## {plain(suite['name'])}: {suite['problems']} problems", "", *endpoints(suite, report)]
        for pair in suite["pairs"]:
            lines += ["", f"### {plain(pair['from'])} → {plain(pair['to'])} ({pair['pair']})", "", *contrasts(pair)]
        if suite["curves"]:
            lines += ["", "### pass@k, %", "", *curves(suite["curves"])]
    if report["findings"]:
        lines += ["", "## Findings on the way", "", *(f"- {plain(finding)}" for finding in report["findings"])]
    lines += ["", "## Stages and time", "", *stages(report["stages"])]
    if report["budget"]:
        lines += ["", "## Budget", "", *fenced(report["budget"])]
    lines += ["", "## How to reproduce it", "", *reproduce(report)]
    return "\n".join(lines) + "\n"


def answers(report: Mapping[str, Any]) -> list[str]:
    """The answer first, then what kind of claim it is."""
    found = [f"- {plain(item['text'])}" for item in report["answer"]]
    how = report["interval"]
    method = f"Intervals: {how['method']}, {percent(how['level'])}, {how['draws']} draws, seed {how['seed']}."
    return [*(found or ["Nothing was compared."]), "", f"{report['claim']} {method}"]


def endpoints(suite: Mapping[str, Any], report: Mapping[str, Any]) -> list[str]:
    """Each metric at each checkpoint, with its interval."""
    role = {name: words for key, words in (("entry", "RL entry"), ("end", "end")) if (name := report["roles"].get(key))}
    heads = [f"{column} ({role[column]})" if column in role else column for column in suite["columns"]]
    rows = []
    for row in suite["rows"]:
        cells = [row["cells"].get(column) for column in suite["columns"]]
        shown = [
            f"{number(c['value'], c['unit'])} ({span(c['low'], c['high'], c['unit'])})" if c else DASH for c in cells
        ]
        rows.append([f"{row['metric']}, {UNITS[row['unit']]}", *shown])
    return table(["metric", *heads], rows)


def contrasts(pair: Mapping[str, Any]) -> list[str]:
    """The paired differences between two checkpoints."""
    return table(
        ["metric", "difference", "interval", "detectable", "p", "McNemar p", "problems", "in words"],
        [
            [
                row["metric"],
                change(row["difference"], row["unit"]),
                span(row["low"], row["high"], row["unit"], signed=True),
                number(row["mde"], row["unit"]),
                probability(row["p"]),
                probability(row["mcnemar"]),
                str(row["n"]),
                verdict(row),
            ]
            for row in pair["rows"]
        ],
    )


def curves(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """pass@k at each checkpoint, a column a k."""
    rows = [
        [curve["checkpoint"]]
        + [
            f"{number(value, 'share')} ({span(low, high, 'share')})"
            for value, low, high in zip(curve["value"], curve["low"], curve["high"], strict=True)
        ]
        for curve in found
    ]
    return table(["checkpoint", *(f"k = {k}" for k in found[0]["k"])], rows)


def stages(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """What ran, from what, for how long."""
    return table(
        ["stage", "plugin", "starts from", "steps", "time", "key"],
        [
            [
                stage["name"],
                stage["use"],
                stage["policy"],
                str(stage["steps"] or DASH),
                duration(stage["seconds"]) + (" (reused)" if stage["reused"] else ""),
                stage["key"],
            ]
            for stage in found
        ],
    )


def reproduce(report: Mapping[str, Any]) -> list[str]:
    """Commands, and what they need."""
    commands = "\n".join(report["reproduce"] or ["warmrl run recipe.json"])
    blocks = {"Resolved recipe (`recipe.json`)": report["recipe"], "Environment": report["environment"]}
    blocks["Sampling of evaluations"] = [block["settings"] for block in report["sampling"]]
    lines = fenced(commands)
    for title, content in blocks.items():
        lines += ["", f"{title}:", "", *fenced(content)]
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
