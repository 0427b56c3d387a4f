"""The numbers of one suite, for a run and for a comparison alike: endpoints, pass@k curves and paired contrasts.

An evaluation is a dict: checkpoint, suite, problems (ids), metrics (name to values, weights, unit, higher_is_better
and, where its problems share an image or a task, clusters); optionally right and n of each problem (for the curve), and
the suite's own weights and clusters.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import cache
from itertools import chain
from typing import Any

from warmrl.stats.estimators import pass_at_k
from warmrl.stats.suites import Comparison, Score, compare_suite

Table = dict[str, Any]
Evaluation = Mapping[str, Any]
Pair = tuple[str, str]

FORMAT = 2
DIGITS = 6
METHODS = {
    "bca": "BCa bootstrap over problems",
    "percentile": "percentile bootstrap over problems",
    "t": "Student's t over problems",
    "wilson": "Wilson's for scores of 0 and 1, BCa bootstrap over problems elsewhere",
}


class Suite:
    """The evaluations of one suite on the problems that any of them has, ready to be measured together.

    One problem is one place: a target that lacks it has no value there, and every score shares the draws.
    """

    def __init__(self, evaluations: Sequence[Evaluation]) -> None:
        self.name: str = evaluations[0]["suite"]
        self.evaluations = {evaluation["checkpoint"]: evaluation for evaluation in evaluations}
        self.problems = list(dict.fromkeys(problem for one in evaluations for problem in one["problems"]))
        self.metrics = {name: metric for one in evaluations for name, metric in one["metrics"].items()}
        self.clusters = cache(self.clusters_of)

    def placed(self, evaluation: Evaluation, column: Sequence[Any] | None) -> list[Any] | None:
        """A column in the order of the evaluation's problems, in the order of the suite's; None where there is none."""
        if column is None:
            return None
        if evaluation["problems"] == self.problems:
            return list(column)
        own = dict(zip(evaluation["problems"], column, strict=True))
        return [own.get(problem) for problem in self.problems]

    def score(self, evaluation: Evaluation, values: Sequence[Any], weights: Sequence[Any] | None) -> Score:
        """A score on the suite's problems; a problem that the evaluation lacks has no value."""
        placed = self.placed(evaluation, weights)
        return Score(
            values=[math.nan if value is None else value for value in self.placed(evaluation, values) or ()],
            weights=placed and [0.0 if weight is None else weight for weight in placed],
        )

    def clusters_of(self, metric: str | None) -> tuple[Any, ...] | None:
        """What is resampled whole under a metric (a problem of no cluster alone); None where there are no clusters."""
        found: dict[str, Any] = {}
        for evaluation in self.evaluations.values():
            own = evaluation["metrics"].get(metric, {}).get("clusters") or evaluation.get("clusters") or ()
            found.update(zip(evaluation["problems"], own, strict=False))
        alone = all(cluster is None for cluster in found.values())
        return None if alone else tuple(found.get(problem) or f"problem {problem}" for problem in self.problems)

    def about(self, metric: str) -> Table:
        """What a row says of its suite and metric; `units` is what its `n` counts."""
        return {
            "suite": self.name,
            "metric": metric,
            "unit": self.metrics[metric]["unit"],
            "higher_is_better": self.metrics[metric]["higher_is_better"],
            "units": "problems" if self.clusters(metric) is None else "clusters of problems",
        }

    def measured(self, pairs: Sequence[Pair], settings: Mapping[str, Any]) -> tuple[list[Table], list[Table]]:
        """Endpoints and contrasts: a row a checkpoint and metric, and a row a pair and metric."""
        alike: dict[tuple[Any, ...] | None, list[str]] = {}
        for metric in self.metrics:
            alike.setdefault(self.clusters(metric), []).append(metric)
        parts = [self.together(metrics, clusters, pairs, settings) for clusters, metrics in alike.items()]
        order = list(self.metrics)
        ends = [
            sorted(
                (row for part in parts for row in self.endpoints(name, part)),
                key=lambda row: order.index(row["metric"]),
            )
            for name in self.evaluations
        ]
        found = [
            sorted(
                (row for part in parts for row in self.contrasts(pair, part)),
                key=lambda row: order.index(row["metric"]),
            )
            for pair in pairs
        ]
        return list(chain.from_iterable(ends)), list(chain.from_iterable(found))

    def together(
        self, metrics: Sequence[str], clusters: Sequence[Any] | None, pairs: Sequence[Pair], settings: Mapping[str, Any]
    ) -> Comparison:
        """Metrics that resample the same units, with the same draws."""
        scores = {
            name: {
                metric: self.score(evaluation, own["values"], own.get("weights"))
                for metric, own in evaluation["metrics"].items()
                if metric in metrics
            }
            for name, evaluation in self.evaluations.items()
        }
        return compare_suite(self.problems, scores, pairs, clusters=clusters, **settings)

    def endpoints(self, checkpoint: str, part: Comparison) -> Iterator[Table]:
        """Each metric of one checkpoint, with its interval over problems."""
        for metric, found in part.intervals[checkpoint].items():
            yield {"checkpoint": checkpoint, **self.about(metric), **asdict(found)}

    def contrasts(self, pair: Pair, part: Comparison) -> Iterator[Table]:
        """Second checkpoint minus first on the problems of both, for each metric that both have."""
        for metric, found in part.contrasts[pair].items():
            yield {"from": pair[0], "to": pair[1], **self.about(metric), **asdict(found), "words": found.words}

    def curves(self, settings: Mapping[str, Any]) -> list[Table]:
        """pass@k of each checkpoint at k = 1, 2, 4 … up to the fewest samples that any of its problems has."""
        scores: dict[str, dict[str, Score]] = {}
        for name, evaluation in self.evaluations.items():
            if not evaluation.get("right"):
                continue
            counts = list(zip(evaluation["n"], evaluation["right"], strict=True))
            scores[name] = {
                str(k): self.score(evaluation, [pass_at_k(n, c, k) for n, c in counts], evaluation.get("weights"))
                for k in powers(min(evaluation["n"]))
            }
        if not scores:
            return []
        alike = next((metric for metric in self.metrics if metric.startswith("pass@")), None)
        found = compare_suite(self.problems, scores, clusters=self.clusters(alike), **settings).intervals
        return [
            {
                "checkpoint": name,
                "suite": self.name,
                "k": [int(k) for k in points],
                **{key: [getattr(point, key) for point in points.values()] for key in ("value", "low", "high")},
            }
            for name, points in found.items()
        ]


def powers(most: int) -> list[int]:
    """1, 2, 4 … and `most` itself."""
    return sorted({2**power for power in range(most.bit_length())} | {most})


def suites(evaluations: Iterable[Evaluation]) -> list[Suite]:
    """The evaluations suite by suite, in the order given."""
    found: dict[str, list[Evaluation]] = {}
    for evaluation in evaluations:
        found.setdefault(evaluation["suite"], []).append(evaluation)
    return [Suite(same) for same in found.values()]


def check_lengths(evaluation: Evaluation) -> None:
    """Refuse an evaluation that holds a problem twice, or values for other than its problems."""
    ids = evaluation["problems"]
    where = f"evaluation of `{evaluation['checkpoint']}` on `{evaluation['suite']}`"
    twice = sorted({problem for problem in ids if ids.count(problem) > 1}) if len(set(ids)) < len(ids) else []
    if twice:
        raise ValueError(f"{where}: problems that occur twice: {', '.join(twice[:5])}")
    for name, metric in evaluation["metrics"].items():
        if len(metric["values"]) != len(ids):
            raise ValueError(f"{where}: `{name}` has {len(metric['values'])} values for {len(ids)} problems")


def sampling(evaluations: Sequence[Evaluation]) -> list[Table]:
    """Every distinct sampling block, with the evaluations that used it."""
    blocks: list[Table] = []
    for evaluation in evaluations:
        used = f"{evaluation['checkpoint']} on {evaluation['suite']}"
        same = next((block for block in blocks if block["settings"] == evaluation["settings"]), None)
        if same:
            same["used_by"].append(used)
        else:
            blocks.append({"settings": evaluation["settings"], "used_by": [used]})
    return blocks


def rounded(value: Any, digits: int | None) -> Any:
    """`value` with floats of `digits` significant digits (None: as they are), and null for what is not finite."""
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        return value if digits is None else float(f"{value:.{digits}g}")
    if isinstance(value, Mapping):
        return {str(key): rounded(item, digits) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item, digits) for item in value]
    return value
