"""The reward `iou`: how far the boxes of an answer overlap those of the gold answer."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from warmrl.api import Grade, Problem, Reward, Verdict
from warmrl_rewards.config import IouConfig

LONGEST = 10_000
"""Characters of the longest answer that is read."""
MOST = 64
"""Boxes of the longest list that is read."""
NUMBER = re.compile(
    r"(?<![A-Za-z0-9_.])[+-]?(?:[0-9]{1,20}(?:\.[0-9]{0,20})?|\.[0-9]{1,20})(?:[eE][+-]?[0-9]{1,3})?(?![A-Za-z0-9_])"
)
GROUP = re.compile(r"[\[(<]([^\[\]()<>]*)[\])>]")
LATEX = re.compile(r"\\(?:left|right|bigl?|bigr|Bigl?|Bigr|,|;|!|quad)(?![A-Za-z])")

Box = tuple[float, float, float, float]


class Iou(Reward[IouConfig]):
    r"""Intersection over union, from 0.0 to 1.0, of the answer's box with the gold answer's; right from `threshold` on.

    A box is two corners, `[x1, y1, x2, y2]`, in JSON (`{"bbox_2d": [1, 2, 3, 4]}`), in LaTeX, as two points
    (`(1, 2), (3, 4)`) or in plain text (`1, 2, 3, 4` alone). Both sides are in the same unit, which is
    never changed. Corners in another order are sorted. A box without an area overlaps nothing, not even itself. With
    several boxes on either side, boxes are paired best overlap first, and the sum is divided by the larger number of
    boxes, so that naming many boxes is no way to find one. An answer with a number that isn't finite, a bracket of
    other than four numbers, more than 64 boxes or 10 000 characters has none. Time is linear in the answer.
    """

    def score(self, problem: Problem, completions: Sequence[str]) -> list[float]:
        """The overlap for each completion, in order. Works in any thread."""
        return [grade.score for grade in self.grade(problem, completions)]

    def grade(self, problem: Problem, completions: Sequence[str]) -> list[Grade]:
        """The same with the answer; its canonical form is the boxes as lists of numbers."""
        gold = boxes(problem.gold)
        return [self._grade(gold, self.style.extract(completion)) for completion in completions]

    def _grade(self, gold: list[Box], text: str | None) -> Grade:
        if text is None:
            return Grade(0.0, None, None, "no answer")
        overlap = matched(gold, boxes(text))
        verdict: Verdict = "right" if overlap >= self.config.threshold else "wrong"
        return Grade(overlap, text, self.canonical(text), verdict)

    def canonical(self, answer: str) -> str:
        """`[1, 2, 3, 4]` for each box, else the text with single spaces."""
        found = boxes(answer)
        return ", ".join("[" + ", ".join(map(shortest, one)) + "]" for one in found) or " ".join(answer.split())


def boxes(text: str) -> list[Box]:
    """The boxes of a text, corners sorted; none when it has anything else in brackets, or too much."""
    short = " ".join(text.split())
    if len(short) > LONGEST:
        return []
    plain = LATEX.sub("", short)
    groups = [found for one in GROUP.finditer(plain) if (found := NUMBER.findall(one[1]))]
    if groups and len(groups) % 2 == 0 and all(len(one) == 2 for one in groups):
        groups = [one + other for one, other in zip(groups[::2], groups[1::2], strict=True)]
    groups = groups or [NUMBER.findall(plain)]
    if len(groups) > MOST:
        return []
    found = []
    for group in groups:
        values = [float(one) for one in group]
        if len(values) != 4 or not all(map(math.isfinite, values)):
            return []
        x1, y1, x2, y2 = values
        found.append((min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)))
    return found


def matched(gold: list[Box], answer: list[Box]) -> float:
    """Overlaps of boxes paired best first, over the larger number of boxes."""
    if not gold or not answer:
        return 0.0
    pairs = sorted(
        ((overlap(one, other), -i, -j) for i, one in enumerate(gold) for j, other in enumerate(answer)), reverse=True
    )
    total, left, right = 0.0, set(range(len(gold))), set(range(len(answer)))
    for value, i, j in pairs:
        if -i in left and -j in right:
            total += value
            left.remove(-i)
            right.remove(-j)
    return min(1.0, total / max(len(gold), len(answer)))


def overlap(one: Box, other: Box) -> float:
    """Intersection over union. Scaled first by a power of two, so that no product is infinite."""
    if one == other:
        return float(one[0] < one[2] and one[1] < one[3])
    exponent = math.frexp(max(map(abs, (*one, *other))))[1]
    (a1, b1, a2, b2), (c1, d1, c2, d2) = ([math.ldexp(value, -exponent) for value in box] for box in (one, other))
    width, height = min(a2, c2) - max(a1, c1), min(b2, d2) - max(b1, d1)
    if width <= 0 or height <= 0:
        return 0.0
    inside = width * height
    union = (a2 - a1) * (b2 - b1) + (c2 - c1) * (d2 - d1) - inside
    return min(1.0, inside / union) if union > 0 else 0.0


def shortest(value: float) -> str:
    """A number without idle digits (`1.50` as 1.5, `2.0` as 2)."""
    return repr(value).removesuffix(".0")
