"""Claims about methods: arms of three seeds or more, with intervals crossed over seeds and problems.

Below three seeds the word is refused: a checkpoint can be better than another by the luck of its seed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import combinations
from typing import Any

import numpy as np

from warmrl.report.scores import Evaluation, Suite, Table, suites
from warmrl.stats.contrasts import holm
from warmrl.stats.crossed import method_contrast, method_mean
from warmrl.stats.intervals import Array

SEEDS = 3
"""Fewest seeds of an arm for a claim about its method (`design.md`: two kinds of claim)."""
CLAIM = "Method claim: intervals crossed over seeds and problems."


def methods(
    evaluations: Sequence[Evaluation],
    arms: Mapping[str, Sequence[str]],
    control: str | None,
    settings: Mapping[str, Any],
) -> Table:
    """Means of each arm of enough seeds, their contrasts, and for the other arms why nothing is said of them."""
    found: Table = {"claim": CLAIM, "endpoints": [], "contrasts": [], "refused": refusals(arms)}
    for suite in suites(evaluations):
        enough = {
            arm: present
            for arm, labels in arms.items()
            if len(present := [label for label in labels if label in suite.evaluations]) >= SEEDS
        }
        pairs = [pair for pair in combinations(enough, 2) if control not in enough or control in pair]
        pairs = [(two, one) if two == control else (one, two) for one, two in pairs]
        for metric in suite.metrics:
            tables = {arm: table(suite, metric, labels) for arm, labels in enough.items()}
            tables = {arm: table for arm, table in tables.items() if table}
            found["endpoints"] += endpoints(suite, metric, tables, settings["level"])
            kept = [pair for pair in pairs if set(pair) <= set(tables)]
            found["contrasts"] += adjusted(contrasts(suite, metric, tables, kept, settings["level"]), settings["level"])
    return found


def refusals(arms: Mapping[str, Sequence[str]]) -> list[str]:
    """Why nothing is said of methods, a sentence each; empty when every arm has enough seeds and there are two."""
    if not arms:
        return [f"No claim about methods: that takes arms of {SEEDS} seeds or more, and these are single checkpoints."]
    few = [f"{arm} has {len(labels)}" for arm, labels in arms.items() if len(labels) < SEEDS]
    if few:
        return [f"No claim about {', '.join(few)}: a claim about a method takes {SEEDS} seeds or more."]
    return [f"One arm alone ({next(iter(arms))}): there is no other method to compare it with."] if len(arms) < 2 else []


def table(suite: Suite, metric: str, labels: Sequence[str]) -> tuple[Array, Array] | None:
    """Values and weights of an arm's seeds on the suite's problems, (S, N) each; None where a seed lacks the metric."""
    own = [suite.evaluations[label] for label in labels]
    if not all(metric in one["metrics"] for one in own):
        return None
    scores = [suite.score(one, one["metrics"][metric]["values"], one["metrics"][metric].get("weights")) for one in own]
    values = np.array([score.values for score in scores], dtype=np.float64)
    weights = [np.ones(len(suite.problems)) if score.weights is None else score.weights for score in scores]
    return values, np.where(np.isnan(values), 0.0, np.array(weights, dtype=np.float64))


def about(suite: Suite, metric: str) -> Table:
    """What a row says of its suite and metric."""
    return {"suite": suite.name, "metric": metric} | {
        key: suite.metrics[metric][key] for key in ("unit", "higher_is_better")
    }


def endpoints(suite: Suite, metric: str, tables: Mapping[str, tuple[Array, Array]], level: float) -> Iterator[Table]:
    """The mean of each arm over its seeds."""
    for arm, (values, weights) in tables.items():
        found = method_mean(values, weights, clusters=suite.clusters(metric), level=level)
        yield {"arm": arm, **about(suite, metric), "degenerate": False, **asdict(found)}


def contrasts(
    suite: Suite,
    metric: str,
    tables: Mapping[str, tuple[Array, Array]],
    pairs: Sequence[tuple[str, str]],
    level: float,
) -> Iterator[Table]:
    """The second arm minus the first."""
    for one, two in pairs:
        (first, first_weights), (second, second_weights) = tables[one], tables[two]
        clusters = suite.clusters(metric)
        found = method_contrast(first, second, first_weights, second_weights, clusters=clusters, level=level)
        row = {"from": one, "to": two, **about(suite, metric), "mcnemar": None, "mde": None, "degenerate": False}
        yield {**row, **asdict(found), "words": found.words}


def adjusted(rows: Iterator[Table], level: float) -> list[Table]:
    """The rows of one family with Holm-adjusted p; a row is resolved only if that too is small enough."""
    found = list(rows)
    tested = [row for row in found if row["p"] is not None and not math.isnan(row["p"])]
    for row, p in zip(tested, holm([row["p"] for row in tested]), strict=True):
        row["adjusted"] = p
        row["resolved"] = row["resolved"] and p <= 1 - level
    return [{"adjusted": None, **row, "family": len(tested)} for row in found]
