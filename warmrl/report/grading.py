"""How the answers were graded, and what training may have seen: beside the scores of every evaluation.

Optional keys of an evaluation: `graders` (first, second, disagreement, differing, compared, second_score), `counts`
(samples, truncated, no_answer, timed_out), `overlap` (trained_on, text, ngram, image, problems), `notes` (sentences).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from warmrl.report.scores import Evaluation, Suite, Table

OUTCOMES = ("truncated", "no_answer", "timed_out")


def grading(evaluations: Iterable[Evaluation]) -> list[Table]:
    """Who graded each evaluation, how often a second opinion differs, and the shares of samples without a verdict."""
    rows = []
    for evaluation in evaluations:
        graders, counts = evaluation.get("graders") or {}, evaluation.get("counts") or {}
        if not (graders or counts):
            continue
        samples = counts.get("samples")
        keys = ("first", "second", "disagreement", "differing", "compared", "second_score")
        rows.append(
            {
                "checkpoint": evaluation["checkpoint"],
                "suite": evaluation["suite"],
                **{key: graders.get(key) for key in keys},
                "samples": samples,
                **{key: counts.get(key, 0) / samples if samples else None for key in OUTCOMES},
            }
        )
    return rows


def notes(evaluations: Iterable[Evaluation]) -> list[str]:
    """What the suites say of themselves, each sentence once; a sentence that some targets lack names its targets."""
    found: dict[tuple[str, str], list[str]] = {}
    targets: dict[str, int] = {}
    for evaluation in evaluations:
        targets[evaluation["suite"]] = targets.get(evaluation["suite"], 0) + 1
        for note in evaluation.get("notes") or ():
            found.setdefault((evaluation["suite"], note), []).append(evaluation["checkpoint"])
    return [
        f"{suite}: {note}" if len(names) == targets[suite] else f"{suite}, {', '.join(names)}: {note}"
        for (suite, note), names in found.items()
    ]


def overlaps(suite: Suite, endpoints: Iterable[Table], settings: Mapping[str, Any]) -> Iterator[Table]:
    """The suite's scores with (of `endpoints`) and without the problems that the training data of any target holds.

    One set of problems is left out for all targets, so that their scores stay comparable.
    """
    known = {name: one["overlap"] for name, one in suite.evaluations.items() if one.get("overlap")}
    seen = {problem for overlap in known.values() for problem in overlap["problems"]}
    if not known:
        return
    scores = [
        name for name, metric in suite.metrics.items() if metric["unit"] == "share" and metric["higher_is_better"]
    ]
    rest = [without(evaluation, scores, seen) for evaluation in suite.evaluations.values()]
    rest = [evaluation for evaluation in rest if evaluation["problems"]]
    before, after = ends(endpoints), ends(Suite(rest).measured((), settings)[0] if rest else ())
    for name in suite.evaluations:
        own = known.get(name) or {}
        yield {
            "checkpoint": name,
            "suite": suite.name,
            "trained_on": own.get("trained_on", []),
            "found": len(own["problems"]) if own else None,
            **{how: own.get(how) for how in ("text", "ngram", "image")},
            "left_out": len(seen & set(suite.problems)),
            "scores": [
                {"metric": metric, "with": before.get((name, metric)), "without": after.get((name, metric))}
                for metric in scores
                if (name, metric) in before
            ],
        }


def ends(rows: Iterable[Table]) -> dict[tuple[str, str], Table]:
    """Value, low and high by checkpoint and metric."""
    return {(row["checkpoint"], row["metric"]): {key: row[key] for key in ("value", "low", "high")} for row in rows}


def without(evaluation: Evaluation, metrics: Sequence[str], left_out: set[str]) -> Table:
    """An evaluation of some metrics on the problems that are not left out."""
    places = [place for place, problem in enumerate(evaluation["problems"]) if problem not in left_out]

    def kept(column: Sequence[Any] | None) -> list[Any] | None:
        return [column[place] for place in places] if column is not None else None

    return {
        "checkpoint": evaluation["checkpoint"],
        "suite": evaluation["suite"],
        "problems": kept(evaluation["problems"]),
        "clusters": kept(evaluation.get("clusters")),
        "metrics": {
            name: {**metric, **{key: kept(metric.get(key)) for key in ("values", "weights", "clusters")}}
            for name, metric in evaluation["metrics"].items()
            if name in metrics
        },
    }
