"""A study's claims about methods: arms against the control at RL entry and at the end, and each arm's own change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from warmrl.report import methods
from warmrl.report.methods import table
from warmrl.report.scores import Suite, Table, suites
from warmrl.report.study_cells import END, ENTRY, POINTS, Cells, label
from warmrl.report.study_sampling import alike
from warmrl.stats.contrasts import holm
from warmrl.stats.crossed import FEWEST_SEEDS, Crossed, method_change

CHANGE = "change"
"""The point of a contrast of an arm's end with its own entry."""
WHEN = {END: "at the end", ENTRY: "at RL entry", CHANGE: "from RL entry to the end"}
"""The points that contrasts are made at, in the order of the page."""
METHOD_CLAIM = (
    f"{methods.CLAIM} Holm's family: the arms against the control, for each point, suite and metric; and the arms' "
    "changes from RL entry to the end, paired by run."
)

Settings = Mapping[str, Any]
Labels = Mapping[str, Sequence[str]]
Means = dict[tuple[str, str, str, str], Table]


def method_rows(cells: Cells, settings: Settings) -> tuple[Means, list[Table]]:
    """Means over seeds by point, arm, suite and metric; and every contrast, arms of three seeds or more alone."""
    means: Means = {}
    rows: list[Table] = []
    for point in POINTS:
        evaluations = [one for suite in cells.suites for one in cells.at(point, suite)]
        labels = cells.labels(point)

        def kept(suite: Suite, pair: tuple[str, str], labels: Labels = labels) -> bool:
            """An arm and the control, all of whose runs were sampled alike."""
            return cells.control in pair and alike(suite, [*labels[pair[0]], *labels[pair[1]]])

        found = methods.methods(evaluations, labels, cells.control, settings, kept)
        rows += [{"point": point, "arm": row["to"], **row} for row in found["contrasts"]]
        means |= {(point, row["arm"], row["suite"], row["metric"]): row for row in found["endpoints"]}
    every = [one for point in POINTS for suite in cells.suites for one in cells.at(point, suite)]
    return means, [*rows, *(row for suite in suites(every) for row in changes(suite, cells, settings))]


def changes(suite: Suite, cells: Cells, settings: Settings) -> Iterator[Table]:
    """Each arm's end against its own entry, run by run; Holm over the arms."""
    for metric in suite.metrics:
        about = {"ids": suite.problems, "clusters": suite.clusters(metric), "level": settings["level"]}
        found: dict[str, Crossed] = {}
        for arm in cells.arms:
            sides = [[label(arm, seed, point) for seed in cells.finished[arm]] for point in POINTS]
            every = {*sides[0], *sides[1]}
            if len(sides[0]) < FEWEST_SEEDS or not every <= set(suite.evaluations) or not alike(suite, every):
                continue
            entry, end = (table(suite, metric, side) for side in sides)
            if entry and end:
                found[arm] = method_change(entry[0], end[0], entry[1], end[1], **about)
        tested = {arm: one.p for arm, one in found.items() if one.p is not None}
        for arm, p in zip(tested, holm(list(tested.values())), strict=True):
            found[arm] = found[arm].in_family(p, len(tested), settings["level"])
        for arm, one in found.items():
            row = {"point": CHANGE, "arm": arm, "from": f"{arm} at RL entry", "to": f"{arm} at the end"}
            yield {**row, **suite.about(metric), "mcnemar": None, **asdict(one), "words": one.words}
