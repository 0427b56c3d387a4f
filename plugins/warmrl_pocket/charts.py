"""The dataset `pocket_charts`, out of domain: three bars with their values, and a sum, maximum or range asked for."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import combinations_with_replacement as multisets

from warmrl.api import Dataset, Problem
from warmrl_pocket.config import ChartsConfig
from warmrl_pocket.kinds import Kind, Labels, figures
from warmrl_pocket.render import CELL, SIDE, Canvas
from warmrl_pocket.traces import gold

REVISION = "1"


def total(labels: Labels) -> list[str]:
    """The sum of the bars."""
    a, b, c = labels
    return [f"{a} + {b} + {c} = {a + b + c}"]


def highest(labels: Labels) -> list[str]:
    """The largest bar."""
    return [f"max = {max(labels)}"]


def spread(labels: Labels) -> list[str]:
    """The largest bar less the smallest."""
    return [f"{max(labels)} - {min(labels)} = {max(labels) - min(labels)}"]


def draw_bars(canvas: Canvas, labels: Labels) -> None:
    """Three bars on a base line, each with its value in the top row of cells."""
    first = int(canvas.rng.integers(2))
    for column, value in enumerate(labels, start=first):
        left = column * CELL + 5
        canvas.bar(left, left + 14, SIDE - 4 - 8 * value, SIDE - 4)
        canvas.label((0, column), str(value))
    canvas.line((first * CELL, SIDE - 4), ((first + 3) * CELL, SIDE - 4))


VALUES = tuple(multisets(range(2, 8), 3))
KINDS = {
    kind.name: kind
    for kind in (
        Kind("sum", "sum of bars ?", VALUES, total, draw_bars),
        Kind("max", "max of bars ?", VALUES, highest, draw_bars),
        Kind("range", "range of bars ?", VALUES, spread, draw_bars),
    )
}


class PocketCharts(Dataset[ChartsConfig]):
    """Bar charts drawn from a seed, at any size. No picture of one occurs in the training of the pocket models."""

    @cached_property
    def _problems(self) -> list[Problem]:
        c = self.config
        drawn = figures("pocket_charts", KINDS, c.kinds, c.split, c.seed, c.length)
        return [figure.problem(gold(figure)) for figure in drawn]

    def problems(self) -> Sequence[Problem]:
        """The charts of the split, as problems whose `cluster` is the label combination."""
        return self._problems

    def fingerprint(self) -> str:
        """The generator's revision with every setting that it depends on."""
        c = self.config
        return f"pocket_charts@{REVISION}/{c.seed}/{c.split}/{c.length}/{'+'.join(c.kinds)}"
