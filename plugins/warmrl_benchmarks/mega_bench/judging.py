"""Scores one response of one query. Runs in a process that is killed when it takes too long."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from warmrl_benchmarks.mega_bench.amounts import UNSCORED
from warmrl_benchmarks.mega_bench.literals import unquoted
from warmrl_benchmarks.mega_bench.metrics import Asked, score
from warmrl_benchmarks.mega_bench.parsing import fields

AGGREGATIONS = ("mean", "min")
"""How the fields of a query become its score: a weighted mean, or the least."""


def judge(query: Mapping[str, Any], response: str) -> dict[str, Any]:
    """The query's score in [0, 1], each field's score (-1: it doesn't count), and what was found of each field.

    `query` has `metric_info` and `eval_context` as the data has them, and `answer`: field -> right value. A response
    without an answer scores 0; officially it has full precision (`set_precision`), as it holds nothing wrong.
    """
    info, answer = query["metric_info"], query["answer"]
    found = fields(info["response_parse_function"], response, answer)
    whole = dict(found)
    rules: dict[str, tuple[str, Any]] = {
        name: (info["field_score_function"][name], unquoted(value))
        for name, value in answer.items()
        if name in info["field_score_function"]
    }
    for name, rule in info.get("global_aux_metrics", {}).items():
        rules[name], found[name] = (rule, dict(answer)), whole
    scores = {
        name: score(Asked(rule, found.get(name), gold, query["eval_context"]), same)
        for name, (rule, gold) in rules.items()
    }
    text = said(found, answer)
    if text is None and any(answer.values()):
        scores = dict.fromkeys(scores, 0.0)
    return {"score": aggregated(scores, info["aggregation"]), "fields": scores, "found": text}


def aggregated(scores: Mapping[str, float], how: Mapping[str, Any]) -> float:
    """The score of a query from those of its fields that count; 0 when none does, as it adds nothing officially."""
    counted = {name: value for name, value in scores.items() if value != UNSCORED}
    if not counted:
        return 0.0
    if how["function"] == "min":
        return min(counted.values())
    weights = {name: float(how["field_weights"][name]) for name in counted}
    total = sum(weights.values())
    return sum(weights[name] * value for name, value in counted.items()) / total if total else 0.0


def said(found: Mapping[str, Any], answer: Mapping[str, Any]) -> str | None:
    """The answer as text: the value of a single field, else every field that the right answer has."""
    values = {name: str(found[name]) for name in answer if found.get(name) is not None}
    text = next(iter(values.values()), "") if len(answer) == 1 else "; ".join(f"{k}: {v}" for k, v in values.items())
    return text.strip() or None


def same(response: str, gold: str) -> bool:
    """Whether math-verify takes two LaTeX expressions as equal."""
    from math_verify import LatexExtractionConfig, parse, verify

    def read(text: str) -> list[Any]:
        return parse(f"${text}$", [LatexExtractionConfig()], parsing_timeout=None)

    return bool(verify(read(gold), read(response), timeout_seconds=None))
