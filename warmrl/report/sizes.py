"""How large a study must be for a difference: the table of `warmrl compare --power`, from what was measured."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from warmrl.stats.contrasts import minimum_detectable
from warmrl.stats.power import (
    Spread,
    binary_sampling,
    detectable,
    problems_needed,
    samples_needed,
    seeds_needed,
    spread_of_checkpoints,
    spread_of_methods,
)

MEANS = re.compile(r"pass@1|avg@[0-9]+")
"""Metrics that are means of samples, so that more samples of each problem make them more exact."""
FEWEST_SEEDS = 3


def sizes(report: Mapping[str, Any], wanted: float | None = None) -> list[dict[str, Any]]:
    """For each contrast of a comparison: what it can show as it is, and what the wanted difference needs.

    `wanted` is a difference in the metric's unit; without it each contrast's own. `problems` are needed with as many
    samples as there are, `samples` with as many problems; None where no number of them is enough. For arms of three
    seeds or more the same is said of the methods, with `seeds`.
    """
    found = {(one["checkpoint"], one["suite"]): one for one in report["evaluations"]}
    level = report["interval"]["level"]
    rows: list[dict[str, Any]] = []
    for one in report["contrasts"]:
        pair = [found[one[side], one["suite"]] for side in ("from", "to")]
        rows += of_checkpoints(pair, one, wanted, level)
    for suite in report["suites"]:
        rows += of_methods(report, found, suite, wanted, level)
    return rows


def of_checkpoints(
    pair: Sequence[Mapping[str, Any]], one: Mapping[str, Any], wanted: float | None, level: float
) -> Iterator[dict[str, Any]]:
    """The row of one contrast; none where nothing can be estimated."""
    metric, unit, aim = one["metric"], one["unit"], abs(wanted if wanted is not None else one["difference"] or 0.0)
    shared = sorted(set(pair[0]["problems"]) & set(pair[1]["problems"]))
    sides = [values_of(side, metric, shared) for side in pair]
    kept = [i for i in range(len(shared)) if all(side[i] is not None for side in sides)]
    if aim == 0 or len(kept) < 2 or one["unit"] not in ("share", "count"):
        return
    names = [shared[i] for i in kept]
    first, second = ([side[i] for i in kept] for side in sides)
    noise, samples = sampling_noise(pair, metric, names)
    spread = spread_of_checkpoints(first, second, noise, samples)
    if one["mde"]:  # problems that share an image or a task say less: what the contrast can show is what holds
        error = one["mde"] / minimum_detectable(1.0, level)
        own = sum(float(np.mean(side)) / k for side, k in zip(noise, samples, strict=True))
        spread = replace(spread, problems=max(0.0, len(kept) * error**2 - own))
    yield {
        "claim": "checkpoints",
        "suite": one["suite"],
        "metric": metric,
        "unit": unit,
        "from": one["from"],
        "to": one["to"],
        "observed": one["difference"],
        "wanted": aim,
        "detectable": detectable(spread, len(kept), samples, level=level),
        "problems": problems_needed(spread, aim, samples, level=level),
        "samples": samples_needed(spread, aim, len(kept), level=level) if samples != (1, 1) else None,
        "seeds": None,
        "now": {"problems": len(kept), "samples": samples, "seeds": None},
    }


def of_methods(
    report: Mapping[str, Any], found: Mapping[Any, Any], suite: str, wanted: float | None, level: float
) -> Iterator[dict[str, Any]]:
    """A row for each pair of arms and each metric."""
    arms = {name: labels for name, labels in report["arms"].items() if len(labels) >= FEWEST_SEEDS}
    names = list(arms)
    for first, second in ((a, b) for i, a in enumerate(names) for b in names[i + 1 :]):
        runs = [[found[label, suite] for label in arms[arm] if (label, suite) in found] for arm in (first, second)]
        if min(map(len, runs)) < FEWEST_SEEDS:
            continue
        shared = sorted(set.intersection(*(set(run["problems"]) for arm in runs for run in arm)))
        for metric in runs[0][0]["metrics"]:
            matrices = [[values_of(run, metric, shared) for run in arm] for arm in runs]
            unit = runs[0][0]["metrics"][metric]["unit"]
            if unit not in ("share", "count") or any(None in row for arm in matrices for row in arm):
                continue
            yield from of_arms(first, second, suite, metric, runs, matrices, shared, wanted, level)


def of_arms(
    first: str,
    second: str,
    suite: str,
    metric: str,
    runs: Sequence[Sequence[Mapping[str, Any]]],
    matrices: Sequence[Any],
    shared: Sequence[str],
    wanted: float | None,
    level: float,
) -> Iterator[dict[str, Any]]:
    """The row of two arms."""
    unit = runs[0][0]["metrics"][metric]["unit"]
    noise, samples = sampling_noise([arm[0] for arm in runs], metric, shared)
    spread: Spread = spread_of_methods(matrices[0], matrices[1], noise, samples)
    means = [sum(map(sum, arm)) / (len(arm) * len(shared)) for arm in matrices]
    observed, seeds = means[1] - means[0], (len(runs[0]), len(runs[1]))
    aim = abs(wanted if wanted is not None else observed)
    if aim == 0:
        return
    yield {
        "claim": "methods",
        "suite": suite,
        "metric": metric,
        "unit": unit,
        "from": first,
        "to": second,
        "observed": observed,
        "wanted": aim,
        "detectable": detectable(spread, len(shared), samples, seeds, level=level),
        "problems": problems_needed(spread, aim, samples, seeds, level=level),
        "samples": samples_needed(spread, aim, len(shared), seeds, level=level) if samples != (1, 1) else None,
        "seeds": seeds_needed(spread, aim, len(shared), samples, level=level),
        "now": {"problems": len(shared), "samples": samples, "seeds": seeds},
    }


def values_of(evaluation: Mapping[str, Any], metric: str, names: Sequence[str]) -> list[Any]:
    """A metric's values of these problems."""
    place = {name: index for index, name in enumerate(evaluation["problems"])}
    values = evaluation["metrics"][metric]["values"]
    return [values[place[name]] for name in names]


def sampling_noise(
    pair: Sequence[Mapping[str, Any]], metric: str, names: Sequence[str]
) -> tuple[tuple[Any, Any], tuple[int, int]]:
    """One sample's variance on each side, problem by problem, and samples of each; 0 for what is no mean of them."""
    counts = [min(side.get("n") or [1]) for side in pair]
    if not MEANS.fullmatch(metric) or min(counts) < 2 or any(max(side["n"]) != min(side["n"]) for side in pair):
        return (0.0, 0.0), (1, 1)
    noise = []
    for side, count in zip(pair, counts, strict=True):
        place = {name: index for index, name in enumerate(side["problems"])}
        noise.append(binary_sampling([side["right"][place[name]] for name in names], count))
    return (noise[0], noise[1]), (counts[0], counts[1])
