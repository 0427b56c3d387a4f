"""From evaluations of any checkpoints to the numbers of their comparison: the report of `warmrl compare`.

`build` is a pure function of a plain dict, so the same evaluations give the same bytes:

    name                    what the report is called
    targets                 in order: label, source; arm and seed where they are known
    arms                    optional: labels of the targets of one arm (three seeds or more: method claims)
    control                 optional: a label or an arm; then the declared family is each other target against it,
                            otherwise all pairs. Two seeds of one arm are never a pair
    evaluations             as `scores` and `grading` say, with settings (the sampling block) and revision (of the
                            suite); `checkpoint` is a target's label. Optional: indices (of each problem's samples)
    settings                level, draws, seed, method of the intervals
    domains                 optional: "in" or "out" of the training domain, by suite
    force, findings, environment, reproduce     optional
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations, product
from typing import Any

from warmrl.domain.errors import UsageError
from warmrl.report.comparable import check_comparable
from warmrl.report.grading import grading, notes, overlaps
from warmrl.report.methods import methods
from warmrl.report.scores import DIGITS, FORMAT, METHODS, Pair, Table, check_lengths, rounded, sampling, suites
from warmrl.report.verdicts import CLAIM, answers, standings

DEFAULTS = {"level": 0.95, "draws": 10_000, "seed": 0, "method": "bca"}


def build(given: Mapping[str, Any]) -> Table:
    """The report of a comparison, as it is written to report.json: what was measured, and the values behind it.

    Raises UsageError for what can't be compared (`check_comparable`) and for a control that is no target.
    """
    evaluations = in_order(given)
    relaxed, remarks = check_comparable(evaluations, bool(given.get("force")))
    for evaluation in evaluations:
        check_lengths(evaluation)
    settings = {**DEFAULTS, **given.get("settings", {})}
    arms = {arm: list(labels) for arm, labels in (given.get("arms") or {}).items()}
    family = pairs([target["label"] for target in given["targets"]], arms, given.get("control"))
    found, absent = measured(evaluations, family, [target["label"] for target in given["targets"]], settings)
    report = {
        "format": FORMAT,
        "kind": "comparison",
        "name": given["name"],
        "claim": CLAIM,
        "interval": {**settings, "method": METHODS[settings["method"]]},
        "family": {"pairs": family, "control": given.get("control")},
        **found,
        "targets": [dict(target) for target in given["targets"]],
        "checkpoints": [{"name": target["label"]} for target in given["targets"]],
        "arms": arms,
        "methods": methods(evaluations, arms, given.get("control"), settings),
        "domains": dict(given.get("domains") or {}),
        "sampling": sampling(evaluations),
        "grading": grading(evaluations),
        "notes": notes(evaluations),
        "relaxed": relaxed,
        "findings": [*given.get("findings", []), *remarks, *absent],
    }
    report["standings"] = standings(found["contrasts"], found["endpoints"])
    report["answer"] = answers(report)
    written = {
        "environment": given.get("environment", {}),
        "reproduce": given.get("reproduce", []),
        "evaluations": evaluations,
    }
    return {**rounded(report, DIGITS), **rounded(written, None)}


def in_order(given: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The evaluations in the order of the targets. Raises UsageError for one that is of no target."""
    order = [target["label"] for target in given["targets"]]
    for evaluation in given["evaluations"]:
        if evaluation["checkpoint"] not in order:
            raise UsageError(f"`{evaluation['checkpoint']}` was evaluated but is no target of this comparison.")
    return sorted(given["evaluations"], key=lambda evaluation: order.index(evaluation["checkpoint"]))


def pairs(labels: Sequence[str], arms: Mapping[str, Sequence[str]], control: str | None) -> list[Pair]:
    """The declared family: the control (a target, or all of an arm) and each other target, or all pairs.

    Two targets of one arm differ in their seed alone, so they are no pair.
    """
    if control is None:
        wanted = list(combinations(labels, 2))
    else:
        own = list(arms.get(control, [control] if control in labels else []))
        if not own:
            known = ", ".join(f"`{name}`" for name in dict.fromkeys([*labels, *arms]))
            raise UsageError(f"The control `{control}` is neither a target nor an arm of this comparison: {known}.")
        wanted = list(product(own, (label for label in labels if label not in own)))
    together = {frozenset(pair) for same in arms.values() for pair in combinations(same, 2)}
    return [pair for pair in wanted if frozenset(pair) not in together]


def measured(
    evaluations: Sequence[Mapping[str, Any]],
    family: Sequence[Pair],
    labels: Sequence[str],
    settings: Mapping[str, Any],
) -> tuple[Table, list[str]]:
    """Endpoints, contrasts, curves and overlaps of each suite; and which target lacks a suite or a metric."""
    found: Table = {"suites": [], "problems": {}, "endpoints": [], "contrasts": [], "curves": [], "overlap": []}
    absent: list[str] = []
    for suite in suites(evaluations):
        present = [pair for pair in family if set(pair) <= set(suite.evaluations)]
        endpoints, contrasts = suite.measured(present, settings)
        found["suites"].append(suite.name)
        found["problems"][suite.name] = len(suite.problems)
        found["endpoints"] += endpoints
        found["contrasts"] += [{"pair": f"{row['from']} → {row['to']}", **row} for row in contrasts]
        found["curves"] += suite.curves(settings)
        found["overlap"] += overlaps(suite, endpoints, settings)
        absent += [f"`{name}` was not evaluated on `{suite.name}`." for name in labels if name not in suite.evaluations]
        absent += [
            f"`{name}` has no `{metric}` on `{suite.name}`."
            for name, one in suite.evaluations.items()
            for metric in suite.metrics
            if metric not in one["metrics"]
        ]
    return found, absent
