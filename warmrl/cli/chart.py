"""A curve in a few characters: braille dots, two by four of them in a character, several curves over one another.

Own code, for want of a library that fits: plotext 6 is compiled and has one figure for the whole process; plotille
colours only what goes straight to a terminal, and its axes are larger than a chart here; uniplot reads keys itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rich.text import Text

Curve = Sequence[tuple[int, float]]
# Bits of the dots of a braille character, by row and column.
DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
BRAILLE = 0x2800
LABEL = 7
"""Characters of the scale at the left."""


def chart(curves: Mapping[str, Curve], width: int, height: int, last: int | None = None) -> list[Text]:
    """Curves (by colour) as `height` lines of `width` characters, with the ends of the scale at the left.

    `last` is the step at the right edge; steps start at 1 at the left.
    """
    there = [point for curve in curves.values() for point in curve]
    wide = max(width - LABEL - 1, 1)
    if not there:
        return [Text(" " * width)] * height
    low, high = min(v for _, v in there), max(v for _, v in there)
    steps = max(last or 0, max(s for s, _ in there))
    masks = [[0] * wide for _ in range(height)]
    colours = [[""] * wide for _ in range(height)]
    for colour, curve in curves.items():
        for x, y in dots(curve, wide * 2, height * 4, steps, low, high):
            masks[y // 4][x // 2] |= DOTS[y % 4][x % 2]
            colours[y // 4][x // 2] = colour
    lines = []
    for row in range(height):
        ends = {0: high, height - 1: low} if high > low else {height // 2: high}
        label = f"{ends[row]:.3g}"[:LABEL] if row in ends else ""
        line = Text(f"{label:>{LABEL}} ", style="dim")
        for mask, colour in zip(masks[row], colours[row], strict=True):
            line.append(chr(BRAILLE + mask) if mask else " ", style=f"not dim {colour}" if mask else "")
        lines.append(line)
    return lines


def dots(curve: Curve, wide: int, tall: int, steps: int, low: float, high: float) -> Iterator[tuple[int, int]]:
    """The dots of a curve, each column joined to the one before; of many steps in one column, their least and most."""
    columns: dict[int, tuple[int, int]] = {}
    for step, value in curve:
        x = (step - 1) * (wide - 1) // max(steps - 1, 1)
        y = round((high - value) / (high - low) * (tall - 1)) if high > low else tall // 2
        least, most = columns.get(x, (y, y))
        columns[x] = min(least, y), max(most, y)
    before: tuple[int, tuple[int, int]] | None = None
    for x, (least, most) in sorted(columns.items()):
        if before is not None:
            yield from between(before, (x, (least, most)))
        yield from ((x, y) for y in range(least, most + 1))
        before = x, (least, most)


def between(one: tuple[int, tuple[int, int]], other: tuple[int, tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Dots that join two columns, from the middle of one to that of the other."""
    (x0, (a, b)), (x1, (c, d)) = one, other
    y0, y1 = (a + b) / 2, (c + d) / 2
    if x1 == x0 + 1 and b >= c and d >= a:
        return
    count = max(x1 - x0, round(abs(y1 - y0)), 1)
    for number in range(1, count):
        share = number / count
        yield round(x0 + (x1 - x0) * share), round(y0 + (y1 - y0) * share)
