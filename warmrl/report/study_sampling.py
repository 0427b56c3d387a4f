"""How a study's answers were drawn: every sampling block, and what is not compared because two of them differ."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from warmrl.report.comparable import MAY_DIFFER, by_suite, other_sampling, other_settings, some
from warmrl.report.comparable import sentence as with_capital
from warmrl.report.scores import Evaluation, Suite, Table, sampling
from warmrl.report.study_cells import label


def alike(suite: Suite, names: Iterable[str]) -> bool:
    """Whether these evaluations of a suite, as far as they are there, were sampled alike."""
    blocks = [suite.evaluations[name].get("settings", {}) for name in names if name in suite.evaluations]
    return not any(other_settings(blocks[0], one) for one in blocks[1:])


def named(known: Mapping[str, Any]) -> list[Evaluation]:
    """Every evaluation and point of the probe, by arm, seed and checkpoint."""
    every = [*known["evaluations"], *known["probe"]]
    return [{**one, "checkpoint": label(one["arm"], one["seed"], one["checkpoint"])} for one in every]


def blocks(evaluations: Sequence[Evaluation]) -> list[Table]:
    """Each distinct block, with what used it: a suite alone where it is that of every evaluation of the suite."""
    counts = {suite: len(same) for suite, same in by_suite(evaluations).items()}
    found = []
    for block in sampling(evaluations):
        by: dict[str, list[str]] = {}
        for one in block["used_by"]:
            name, _, suite = one.rpartition(" on ")
            by.setdefault(suite, []).append(name)
        used = [
            suite if len(own) == counts[suite] else f"{some(own, quote=False)} on {suite}" for suite, own in by.items()
        ]
        found.append({"settings": block["settings"], "used_by": used})
    return found


def findings(evaluations: Sequence[Evaluation]) -> Iterator[str]:
    """A sentence for each field of a suite's blocks that differs, and what is not compared for it."""
    for suite, same in by_suite(evaluations).items():
        for field, text in other_sampling(suite, same):
            refused = "" if field.partition(".")[0] in MAY_DIFFER else " Runs that differ in it are not compared."
            yield with_capital(text) + refused
