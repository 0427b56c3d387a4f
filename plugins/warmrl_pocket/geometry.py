"""The dataset `pocket_geometry`: plane figures with labelled lengths and angles, and one number asked for."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import combinations_with_replacement as multisets

from warmrl.api import Dataset, Problem
from warmrl_pocket.config import GeometryConfig
from warmrl_pocket.kinds import Kind, Labels, figures
from warmrl_pocket.render import Canvas, Point
from warmrl_pocket.traces import gold

REVISION = "1"


def area(labels: Labels) -> list[str]:
    """Width times height."""
    a, b = labels
    return [f"{a} * {b} = {a * b}"]


def rectangle_perimeter(labels: Labels) -> list[str]:
    """Twice the sum of the sides."""
    a, b = labels
    return [f"{a} + {b} = {a + b}", f"2 * {a + b} = {2 * (a + b)}"]


def diameter(labels: Labels) -> list[str]:
    """Twice the radius."""
    return [f"2 * {labels[0]} = {2 * labels[0]}"]


def third_angle(labels: Labels) -> list[str]:
    """What two angles leave of 180 degrees."""
    a, b = labels
    return [f"180 - {a} - {b} = {180 - a - b}"]


def triangle_perimeter(labels: Labels) -> list[str]:
    """The sum of three sides."""
    a, b, c = labels
    return [f"{a} + {b} + {c} = {a + b + c}"]


def remainder(labels: Labels) -> list[str]:
    """The whole less the known part; labels are (whole, part)."""
    whole, part = labels
    return [f"{whole} - {part} = {whole - part}"]


def draw_rectangle(canvas: Canvas, labels: Labels) -> None:
    """A rectangle in the middle, one label above it, one at its right."""
    rng = canvas.rng
    width, height = labels
    # Proportions hint at the labels without giving them away.
    across, down = (16 + 6 * side / max(labels) + rng.uniform(0, 1) for side in (width, height))
    canvas.outline([(48 + i * across, 48 + j * down) for i, j in ((-1, -1), (1, -1), (1, 1), (-1, 1))])
    canvas.labels([(0, 1), (1, 3)], labels)


def draw_circle(canvas: Canvas, labels: Labels) -> None:
    """A circle with one radius, whose length stands beside it."""
    rng = canvas.rng
    radius = rng.uniform(36, 44)
    canvas.circle((48, 48), radius)
    canvas.line((48, 48), (48 + radius, 48), 0.5)
    canvas.label((1, 2), str(labels[0]))


def _triangle(canvas: Canvas) -> list[Point]:
    """Outline a triangle in the middle; returns its left, right and top corner."""
    corners = [(26.0, 70.0), (70.0, 70.0), (canvas.rng.uniform(34, 62), 26.0)]
    canvas.outline(corners)
    return corners


def draw_angles(canvas: Canvas, labels: Labels) -> None:
    """A triangle with the two angles at its base labelled and the third marked `?`."""
    corners = _triangle(canvas)
    for i in range(3):
        canvas.arc(corners[i], corners[i - 1], corners[i - 2])
    canvas.label((0, 1), "?")
    canvas.labels([(3, 0), (3, 3)], labels)


def draw_sides(canvas: Canvas, labels: Labels) -> None:
    """A triangle with the lengths of its three sides."""
    _triangle(canvas)
    canvas.labels([(1, 0), (1, 3), (3, 1)], labels)


def draw_segment(canvas: Canvas, labels: Labels) -> None:
    """A segment in two parts, one labelled, one marked `?`, and above a bracket the length of the whole."""
    whole, part = labels
    cut = 48 + 40 * (part / whole - 0.5)
    canvas.line((6, 48), (90, 48))
    for x in (6, cut, 90):
        canvas.line((x, 43), (x, 53))
    canvas.line((6, 28), (90, 28), 0.35)
    for x in (6, 90):
        canvas.line((x, 28), (x, 33), 0.35)
    canvas.label((2, 3), "?")
    canvas.labels([(0, 1), (2, 0)], labels)


SIDES = range(2, 11)
ANGLES = range(20, 90, 10)
KINDS = {
    kind.name: kind
    for kind in (
        Kind("rectangle_area", "area of rectangle ?", tuple(multisets(SIDES, 2)), area, draw_rectangle),
        Kind(
            "rectangle_perimeter",
            "perimeter of rectangle ?",
            tuple(multisets(SIDES, 2)),
            rectangle_perimeter,
            draw_rectangle,
        ),
        Kind("circle_diameter", "diameter of circle ?", tuple((r,) for r in range(2, 41)), diameter, draw_circle),
        Kind("triangle_angle", "angle of triangle ?", tuple(multisets(ANGLES, 2)), third_angle, draw_angles),
        Kind(
            "triangle_perimeter",
            "perimeter of triangle ?",
            tuple(multisets(range(2, 8), 3)),
            triangle_perimeter,
            draw_sides,
        ),
        Kind(
            "segment",
            "length of segment ?",
            tuple((whole, part) for whole in range(6, 21) for part in range(2, whole - 1)),
            remainder,
            draw_segment,
            shuffled=False,
        ),
    )
}


class PocketGeometry(Dataset[GeometryConfig]):
    """Figures drawn from a seed, at any size; splits share no label combination."""

    @cached_property
    def _problems(self) -> list[Problem]:
        c = self.config
        drawn = figures("pocket_geometry", KINDS, c.kinds, c.split, c.seed, c.length)
        return [figure.problem(gold(figure)) for figure in drawn]

    def problems(self) -> Sequence[Problem]:
        """The figures of the split, as problems whose `cluster` is the label combination."""
        return self._problems

    def fingerprint(self) -> str:
        """The generator's revision with every setting that it depends on."""
        c = self.config
        return f"pocket_geometry@{REVISION}/{c.seed}/{c.split}/{c.length}/{'+'.join(c.kinds)}"
