"""The reward `mega_bench`: MEGA-Bench's core rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from warmrl.api import AnswerStyle, Grade, Problem, Reward, UsageError, Verdict
from warmrl.engine.api import GradingPool, Outcome
from warmrl_benchmarks.mega_bench.config import MegaBenchConfig
from warmrl_benchmarks.mega_bench.judging import AGGREGATIONS, judge
from warmrl_benchmarks.mega_bench.metrics import LEFT_OUT, METRICS
from warmrl_benchmarks.mega_bench.parsing import PARSERS

LONGEST = 100_000
"""Characters of a response that are read, from its end."""
FORMULA: Mapping[str, Any] = {
    "metric_info": {
        "field_score_function": {"f": "latex_expr_equality"},
        "aggregation": {"function": "mean", "field_weights": {"f": 1}},
        "response_parse_function": "answer_string",
    },
    "eval_context": {},
}
"""One field, compared as text or as a formula."""


class MegaBench(Reward[MegaBenchConfig]):
    """The score of a query by the rules of its task, from the whole response; right when it is 1.

    `Problem.extra` of the dataset `mega_bench` has `metric_info`, `answer` and `eval_context`. The answer style is not
    asked: where an answer stands is each task's own rule. Of any other problem the style's answer is compared with the
    gold, as text or as a formula. Raises `UsageError` for a rule, parser or aggregation that is not scored.
    """

    def __init__(self, config: MegaBenchConfig, style: AnswerStyle) -> None:
        super().__init__(config, style)
        self._pool = GradingPool(
            judge,
            deadline=config.deadline,
            memory=config.memory,
            workers=config.workers,
            warm_up=[({**FORMULA, "answer": {"f": "x^2"}}, "Answer: x x")],
            advice="Install math-verify[antlr4_13_2] beside warmrl.",
        )

    def score(self, problem: Problem, completions: Sequence[str]) -> list[float]:
        """The score of each completion, in order."""
        return [grade.score for grade in self.grade(problem, completions)]

    def grade(self, problem: Problem, completions: Sequence[str]) -> list[Grade]:
        """Score, answer and verdict of each completion, in order; `parts` are the scores of several fields."""
        query = query_of(problem)
        texts = completions if query else [self.style.extract(text) or "" for text in completions]
        outcomes = self._pool.map([(query or plain(problem), text[-LONGEST:]) for text in texts])
        return [self._grade(outcome) for outcome in outcomes]

    def _grade(self, outcome: Outcome) -> Grade:
        if outcome.failure:
            return Grade(0.0, None, None, "timed out" if outcome.failure == "timed out" else "wrong")
        score, answer = outcome.value["score"], outcome.value["found"]
        parts = {name: part for name, part in outcome.value["fields"].items() if part >= 0}
        verdict: Verdict = "right" if score == 1 else "no answer" if answer is None else "wrong"
        return Grade(
            score,
            answer,
            None if answer is None else self.canonical(answer),
            verdict,
            parts if len(outcome.value["fields"]) > 1 else {},
        )

    def start(self) -> None:
        """Start the grading processes now, so that no completion waits for one."""
        self._pool.start()

    def close(self) -> None:
        """End the grading processes."""
        self._pool.close()


def plain(problem: Problem) -> dict[str, Any]:
    """A problem of another dataset, as a query of one field."""
    return {**FORMULA, "answer": {"f": problem.gold}}


def query_of(problem: Problem) -> dict[str, Any]:
    """What the rules need of a problem; nothing, of another dataset's. Raises `UsageError` for one not scored."""
    extra = problem.extra
    if not isinstance(extra.get("metric_info"), Mapping) or not isinstance(extra.get("answer"), Mapping):
        return {}
    query = {name: extra.get(name) or {} for name in ("metric_info", "answer", "eval_context")}
    if why := unscored(query["metric_info"]) or unanswered(query["metric_info"], query["answer"]):
        raise UsageError(
            f"The problem {problem.id} can't be scored by the reward `mega_bench`: {why}. Leave its task out, as the "
            f"dataset `mega_bench` does."
        )
    return query


def unanswered(info: Mapping[str, Any], answer: Mapping[str, Any]) -> str:
    """Why that right answer can't be scored by that `metric_info`; "" when it can."""
    if not any(field in info["field_score_function"] for field in answer):
        return "no field of its right answer has a rule"
    if info["response_parse_function"] != "json" and sum(not field.startswith("##") for field in answer) != 1:
        return "its response parser finds one field, and its right answer has another number of them"
    return ""


def unscored(info: Mapping[str, Any]) -> str:
    """Why a task with that `metric_info` is not scored; "" when it is."""
    rules = [*info.get("field_score_function", {}).values(), *info.get("global_aux_metrics", {}).values()]
    for rule in rules:
        if rule not in METRICS:
            return f"its rule `{rule}` {LEFT_OUT.get(rule, 'is not known')}"
    parser, how = info.get("response_parse_function"), info.get("aggregation", {}).get("function")
    if parser not in PARSERS:
        return f"its response parser is `{parser}`, and {', '.join(PARSERS)} are scored"
    if how not in AGGREGATIONS:
        return f"its aggregation is `{how}`, and {', '.join(AGGREGATIONS)} are scored"
    return ""
