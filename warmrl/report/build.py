"""From what a run measured to the numbers of its report: endpoints, contrasts, pass@k curves, training series.

`build` is a pure function of a plain dict, so the same run gives the same bytes. Every interval is over problems,
and every contrast is paired with shared draws. The dict:

    name, seed, recipe, environment     as they are to be shown; `recipe["eval"]` gives level, draws and seed
    stages                              in order: name, use, kind, policy, key, reused, seconds, steps, and rows of
                                        metrics (`step` counts from 1; none for a curator)
    evaluations                         checkpoint, stage, step (None: the end), suite, problems (ids), metrics (name
                                        to values, weights, unit, higher_is_better), settings; `right` and `n` of each
                                        problem for the pass@k curve; `clusters` where problems share an image or task
    findings, handoffs, budget, reproduce   optional: sentences, sentences, a table, command lines
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from warmrl.report.checkpoints import Track
from warmrl.report.output import write
from warmrl.report.words import CLAIM, answer
from warmrl.stats.contrasts import contrast
from warmrl.stats.estimators import pass_at_k
from warmrl.stats.intervals import interval

__all__ = ["build", "write"]

FORMAT = 1
DIGITS = 6

Table = dict[str, Any]


def build(run: Mapping[str, Any]) -> Table:
    """The report of one run, as it is written to report.json: finite numbers of six significant digits."""
    track = Track(run["stages"])
    evaluations = sorted(run["evaluations"], key=lambda e: track.position(e["stage"], e["step"]))
    for evaluation in evaluations:
        check_ids(evaluation)
    eval_table = run["recipe"].get("eval", {})
    settings = {
        "level": eval_table.get("interval", 0.95),
        "draws": eval_table.get("bootstrap", 10_000),
        "seed": eval_table.get("seed", 0),
    }
    contrasts, refused = compare(evaluations, track, settings)
    report = {
        "format": FORMAT,
        "name": run["name"],
        "seed": run["seed"],
        "claim": CLAIM,
        "interval": {**settings, "method": "BCa bootstrap over problems"},
        "roles": track.roles(),
        "answer": answer(contrasts, settings["level"]),
        "suites": list(dict.fromkeys(e["suite"] for e in evaluations)),
        "checkpoints": checkpoints(evaluations, track),
        "endpoints": [row for e in evaluations for row in endpoints(e, settings)],
        "contrasts": contrasts,
        "curves": [curve(e, settings) for e in evaluations if e.get("right")],
        "stages": [stage_row(stage, track) for stage in run["stages"]],
        "training": [
            {**row, "x": track.start(stage["name"]) + row["step"]} for stage in run["stages"] for row in stage["rows"]
        ],
        "sampling": sampling(evaluations),
        "findings": [*run.get("handoffs", []), *run.get("findings", []), *refused],
        "budget": run.get("budget", {}),
    }
    written = {"recipe": run["recipe"], "environment": run["environment"], "reproduce": run.get("reproduce", [])}
    return {**rounded(report, DIGITS), **rounded(written, None)}


def check_ids(evaluation: Mapping[str, Any]) -> None:
    """Refuse an evaluation that holds a problem twice, or values for other than its problems."""
    ids = evaluation["problems"]
    where = f"evaluation of `{evaluation['checkpoint']}` on `{evaluation['suite']}`"
    twice = sorted({problem for problem in ids if ids.count(problem) > 1}) if len(set(ids)) < len(ids) else []
    if twice:
        raise ValueError(f"{where}: problems that occur twice: {', '.join(twice[:5])}")
    for name, metric in evaluation["metrics"].items():
        if len(metric["values"]) != len(ids):
            raise ValueError(f"{where}: `{name}` has {len(metric['values'])} values for {len(ids)} problems")


def checkpoints(evaluations: Sequence[Mapping[str, Any]], track: Track) -> list[Table]:
    """The evaluated checkpoints in order, each with its place `x` (optimizer steps since the base)."""
    found = {
        e["checkpoint"]: {
            "name": e["checkpoint"],
            "stage": e["stage"],
            "step": e["step"],
            "x": track.position(e["stage"], e["step"]),
        }
        for e in evaluations
    }
    return list(found.values())


def endpoints(evaluation: Mapping[str, Any], settings: Mapping[str, Any]) -> Iterator[Table]:
    """Each metric of one checkpoint on one suite, with its interval over problems."""
    for name, metric in evaluation["metrics"].items():
        found = interval(metric["values"], metric.get("weights"), clusters=evaluation.get("clusters"), **settings)
        yield {
            "checkpoint": evaluation["checkpoint"],
            "suite": evaluation["suite"],
            "metric": name,
            "unit": metric["unit"],
            "higher_is_better": metric["higher_is_better"],
            **asdict(found),
        }


def curve(evaluation: Mapping[str, Any], settings: Mapping[str, Any]) -> Table:
    """pass@k at k = 1, 2, 4 … up to the fewest samples that any problem has, with intervals over problems."""
    right, samples = evaluation["right"], evaluation["n"]
    most = min(samples)
    ks = sorted({2**power for power in range(most.bit_length())} | {most})
    found = [
        interval(
            [pass_at_k(n, c, k) for n, c in zip(samples, right, strict=True)],
            clusters=evaluation.get("clusters"),
            **settings,
        )
        for k in ks
    ]
    return {
        "checkpoint": evaluation["checkpoint"],
        "suite": evaluation["suite"],
        "k": ks,
        "value": [point.value for point in found],
        "low": [point.low for point in found],
        "high": [point.high for point in found],
    }


def compare(
    evaluations: Sequence[Mapping[str, Any]], track: Track, settings: Mapping[str, Any]
) -> tuple[list[Table], list[str]]:
    """Contrasts base to end, base to RL entry, entry to end; and what was not compared, a sentence each."""
    found = {(track.position(e["stage"], e["step"]), e["stage"], e["suite"]): e for e in evaluations}
    rows: list[Table] = []
    refused: list[str] = []
    for suite in dict.fromkeys(e["suite"] for e in evaluations):
        for pair, places in track.pairs().items():
            one, two = (found.get((*place, suite)) for place in places)
            if one is None or two is None:
                continue
            differing = unlike(one["settings"], two["settings"])
            names = f"`{one['checkpoint']}` and `{two['checkpoint']}` on `{suite}`"
            if differing:
                refused.append(f"{names} are not compared: they were sampled with another {', '.join(differing)}.")
                continue
            if set(one["problems"]) != set(two["problems"]):
                common = len(set(one["problems"]) & set(two["problems"]))
                refused.append(f"{names} are compared on the {common} problems that both have.")
            rows.extend(paired(one, two, pair, settings))
    return rows, refused


def unlike(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    """The sampling settings in which two evaluations differ."""
    return sorted(key for key in {*first, *second} if first.get(key) != second.get(key))


def paired(one: Mapping[str, Any], two: Mapping[str, Any], pair: str, settings: Mapping[str, Any]) -> Iterator[Table]:
    """The contrast of two evaluations on their common problems, for each metric that both have."""
    place = {problem: index for index, problem in enumerate(two["problems"])}
    common = [(index, place[problem]) for index, problem in enumerate(one["problems"]) if problem in place]
    clusters = [one["clusters"][index] for index, _ in common] if one.get("clusters") else None
    for name, left in one["metrics"].items():
        right = two["metrics"].get(name)
        if right is None or not common:
            continue
        found = contrast(
            [left["values"][index] for index, _ in common],
            [right["values"][index] for _, index in common],
            [left["weights"][index] for index, _ in common] if left.get("weights") else None,
            [right["weights"][index] for _, index in common] if right.get("weights") else None,
            clusters=clusters,
            **settings,
        )
        yield {
            "pair": pair,
            "from": one["checkpoint"],
            "to": two["checkpoint"],
            "suite": one["suite"],
            "metric": name,
            "unit": left["unit"],
            "higher_is_better": left["higher_is_better"],
            **asdict(found),
            "words": found.words,
        }


def stage_row(stage: Mapping[str, Any], track: Track) -> Table:
    """A stage without its rows, with its place on the axis of steps."""
    kept = {key: value for key, value in stage.items() if key != "rows"}
    return {**kept, "start": track.start(stage["name"]), "trains": bool(stage["rows"])}


def sampling(evaluations: Sequence[Mapping[str, Any]]) -> list[Table]:
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
