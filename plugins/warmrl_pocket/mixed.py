"""The dataset `pocket_mixed`: figures with questions of every kind that the reward `mixed` has a branch for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from itertools import combinations_with_replacement as multisets

from warmrl.api import Dataset, Message, Problem, Text
from warmrl_pocket.config import PocketMixedConfig
from warmrl_pocket.geometry import KINDS as GEOMETRY
from warmrl_pocket.kinds import Figure, Kind, Labels, draw_figure, generator
from warmrl_pocket.render import CELL, GRID, SIDE, Canvas
from warmrl_pocket.traces import gold, tagged

REVISION = "1"
SLIPS = (-20, -10, -5, -2, -1, 1, 2, 5, 10, 20)
"""How far the wrong options of a choice are from the right one."""


def count(labels: Labels) -> list[str]:
    """One for each bar: `1 + 1 + 1 = 3`."""
    return [f"{' + '.join('1' for _ in labels)} = {len(labels)}"]


def corners(labels: Labels) -> list[str]:
    """The left, upper, right and lower edge of a box, in cells."""
    return [f"range = {spoken(labels)}"]


def first(labels: Labels) -> list[str]:
    """The first number alone."""
    return [f"= {labels[0]}"]


def draw_bars(canvas: Canvas, labels: Labels) -> None:
    """One to four bars on a base line, each with its value in the top row of cells."""
    start = int(canvas.rng.integers(GRID - len(labels) + 1))
    for column, value in enumerate(labels, start=start):
        left = column * CELL + 5
        canvas.bar(left, left + 14, SIDE - 4 - 7 * value, SIDE - 4)
        canvas.label((0, column), str(value))
    canvas.line((start * CELL, SIDE - 4), ((start + len(labels)) * CELL, SIDE - 4))


def draw_box(canvas: Canvas, labels: Labels) -> None:
    """A filled rectangle whose edges are near the borders of cells."""
    x1, y1, x2, y2 = (min(max(CELL * edge + canvas.rng.uniform(-2, 2), 1), SIDE - 2) for edge in labels)
    canvas.bar(x1, x2, y1, y2)


def draw_numbers(canvas: Canvas, labels: Labels) -> None:
    """Numbers in cells anywhere, in reading order."""
    cells = [divmod(int(cell), GRID) for cell in canvas.rng.permutation(GRID * GRID)[: len(labels)]]
    canvas.labels(cells, labels)


def counted(figure: Figure) -> Problem:
    """How many bars there are."""
    return figure.problem(gold(figure))


def chosen(figure: Figure) -> Problem:
    """A question of geometry with three options, answered by the text of one: the pocket has no letters."""
    rng, right = generator(f"{figure.id}#options"), int(figure.gold)
    wrong = [right + slip for slip in SLIPS if right + slip > 0]
    options = [right, *rng.permutation(wrong)[:2].tolist()]
    texts = [str(options[place]) for place in rng.permutation(3)]
    problem = figure.problem(gold(figure))
    (picture, *_) = problem.messages[0].parts
    question = Text(f"{figure.kind.question} {' and '.join(texts)}")
    return replace(problem, messages=(Message("user", (picture, question)),), extra={**problem.extra, "choices": texts})


def boxed(figure: Figure) -> Problem:
    """Where the rectangle is: its corners in cells of the picture, from 0 to 4."""
    return figure.problem(tagged(f"it is {figure.gold}", figure.gold))


def described(figure: Figure) -> Problem:
    """What is to be read. The gold answer is the first number, so that a reading of all of them is better."""
    everything = spoken(figure.labels)
    problem = figure.problem(tagged(f"read {everything}", everything))
    return replace(problem, extra={**problem.extra, "shown": [str(label) for label in figure.labels]})


def spoken(labels: Labels) -> str:
    """Numbers in words that the pocket has."""
    return " and ".join(map(str, labels))


@dataclass(frozen=True)
class Family:
    """The figures and the questions of one kind of problem."""

    kinds: tuple[Kind, ...]
    problem: Callable[[Figure], Problem]


VALUES = range(2, 10)
EDGES = tuple(combinations(range(GRID + 1), 2))
BARS = tuple(Kind(f"bars_{n}", "bars ?", tuple(multisets(VALUES, n)), count, draw_bars) for n in range(1, GRID + 1))
BOXES = tuple((x1, y1, x2, y2) for x1, x2 in EDGES for y1, y2 in EDGES)
NUMBERS = (*multisets(VALUES, 3), *multisets(range(2, 21), 2))
FAMILIES = {
    "digit": Family(BARS, counted),
    "choice": Family(tuple(GEOMETRY.values()), chosen),
    "math": Family(tuple(GEOMETRY.values()), counted),
    "iou": Family((Kind("box", "range of rectangle ?", BOXES, corners, draw_box, shuffled=False),), boxed),
    "open": Family((Kind("numbers", "read ?", NUMBERS, first, draw_numbers),), described),
}


class PocketMixed(Dataset[PocketMixedConfig]):
    """Counts, choices, geometry, boxes and readings, drawn from a seed, as many of each by chance.

    `Problem.kind` is `digit`, `choice`, `math`, `iou` or `open`. Splits share no label combination, across kinds too:
    a figure of `choice` and one of `math` with the same labels are in the same split. The pocket models saw bars and
    boxes in no picture, and numbers to read in all combinations.
    """

    @cached_property
    def _problems(self) -> list[Problem]:
        c = self.config
        wanted = [name for name in FAMILIES if not c.kinds or name in c.kinds]
        # What an id stands for depends on the kinds that it is drawn from, so they are part of it.
        some = "" if len(wanted) == len(FAMILIES) else f"{'+'.join(wanted)}/"
        names = (f"pocket_mixed/{c.seed}/{c.split}/{some}{index:05d}" for index in range(c.length))
        return [self._problem(name, wanted) for name in names]

    def _problem(self, name: str, wanted: Sequence[str]) -> Problem:
        """The problem that an id stands for."""
        kind = wanted[generator(f"{name}#kind").integers(len(wanted))]
        family = FAMILIES[kind]
        return replace(family.problem(draw_figure(name, family.kinds, self.config.split)), kind=kind)

    def problems(self) -> Sequence[Problem]:
        """The problems of the split; `cluster` is the label combination."""
        return self._problems

    def fingerprint(self) -> str:
        """The generator's revision with every setting that it depends on."""
        c = self.config
        return f"pocket_mixed@{REVISION}/{c.seed}/{c.split}/{c.length}/{'+'.join(c.kinds)}"
