"""Claims about methods: arms of three seeds or more, with intervals crossed over seeds and problems.

Below three seeds the word is refused: a checkpoint can be better than another by the luck of its seed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import combinations
from typing import Any

from warmrl.report.scores import Evaluation, Suite, Table, suites
from warmrl.report.verdicts import standings
from warmrl.stats.contrasts import holm
from warmrl.stats.crossed import FEWEST_SEEDS, Crossed, method_contrast, method_mean, share_limits

Scores = tuple[list[Any], list[Any]]
Pair = tuple[str, str]

CLAIM = "Method claim: intervals crossed over seeds and problems."


def methods(
    evaluations: Sequence[Evaluation],
    arms: Mapping[str, Sequence[str]],
    control: str | None,
    settings: Mapping[str, Any],
    kept: Callable[[Suite, Pair], bool] | None = None,
) -> Table:
    """Means of each arm of enough seeds, their contrasts, and for the other arms why nothing is said of them.

    `kept` says which pairs of arms may be compared on a suite.
    """
    found: Table = {"claim": CLAIM, "endpoints": [], "contrasts": [], "refused": refusals(arms)}
    control = control if control in arms else None
    for suite in suites(evaluations):
        enough = {
            arm: present
            for arm, labels in arms.items()
            if len(present := [label for label in labels if label in suite.evaluations]) >= FEWEST_SEEDS
        }
        pairs = [pair for pair in combinations(enough, 2) if control in (None, *pair)]
        pairs = [(two, one) if two == control else (one, two) for one, two in pairs]
        pairs = [pair for pair in pairs if kept is None or kept(suite, pair)]
        for metric in suite.metrics:
            tables = {arm: table(suite, metric, labels) for arm, labels in enough.items()}
            known = {arm: table for arm, table in tables.items() if table}
            alike = {"ids": suite.problems, "clusters": suite.clusters(metric), "level": settings["level"]}
            found["endpoints"] += endpoints(suite, metric, known, alike)
            both = [pair for pair in pairs if set(pair) <= set(known)]
            found["contrasts"] += contrasts(suite, metric, known, both, alike)
    return {**found, "standings": standings(found["contrasts"], found["endpoints"], "arm")}


def refusals(arms: Mapping[str, Sequence[str]]) -> list[str]:
    """Why nothing is said of methods, a sentence each; empty when every arm has enough seeds and there are two."""
    rule = f"a claim about a method takes {FEWEST_SEEDS} seeds or more of each arm"
    if not arms:
        return [f"Nothing is said of methods: {rule}, and these are single checkpoints."]
    few = [f"{arm} has {len(labels)}" for arm, labels in arms.items() if len(labels) < FEWEST_SEEDS]
    if few:
        which = "methods" if len(few) == len(arms) else "some methods"
        return [f"Nothing is said of {which}: {rule}; {', '.join(few)}."]
    return [f"Nothing is said of methods: {next(iter(arms))} is the only arm."] if len(arms) < 2 else []


def table(suite: Suite, metric: str, labels: Sequence[str]) -> Scores | None:
    """Values and weights of an arm's seeds on the suite's problems, (S, N) each; None where a seed lacks the metric."""
    own = [suite.evaluations[label] for label in labels]
    if not all(metric in one["metrics"] for one in own):
        return None
    scores = [suite.score(one, one["metrics"][metric]["values"], one["metrics"][metric].get("weights")) for one in own]
    weights = [[1.0] * len(suite.problems) if score.weights is None else score.weights for score in scores]
    return [score.values for score in scores], weights


def endpoints(suite: Suite, metric: str, tables: Mapping[str, Scores], alike: Mapping[str, Any]) -> Iterator[Table]:
    """The mean of each arm over its seeds; the interval of a share stays between none and all."""
    for arm, scores in tables.items():
        found = method_mean(*scores, **alike)
        low, high = found.low, found.high
        if suite.metrics[metric]["unit"] == "share" and low is not None and high is not None:
            low, high = share_limits(found.second or 0.0, low, high)
        row = {"arm": arm, **suite.about(metric), "value": found.second, "low": low, "high": high}
        keys = ("standard_error", "freedom", "seeds", "n", "missing", "degenerate")
        yield row | {key: getattr(found, key) for key in keys}


def contrasts(
    suite: Suite,
    metric: str,
    tables: Mapping[str, Scores],
    pairs: Sequence[tuple[str, str]],
    alike: Mapping[str, Any],
) -> Iterator[Table]:
    """The second arm minus the first, judged by p adjusted over the pairs."""
    found: dict[tuple[str, str], Crossed] = {}
    for one, two in pairs:
        (first, first_weights), (second, second_weights) = tables[one], tables[two]
        found[one, two] = method_contrast(first, second, first_weights, second_weights, **alike)
    tested = {pair: contrast.p for pair, contrast in found.items() if contrast.p is not None}
    for pair, p in zip(tested, holm(list(tested.values())), strict=True):
        found[pair] = found[pair].in_family(p, len(tested), alike["level"])
    for (one, two), contrast in found.items():
        row = {"from": one, "to": two, **suite.about(metric), "mcnemar": None}
        yield {**row, **asdict(contrast), "words": contrast.words}
