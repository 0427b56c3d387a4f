"""Draws figures: anti-aliased lines and digit labels on a 4 x 4 grid of cells, in pure numpy."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from PIL import Image as PILImage

SIDE = 96  # pixels of a figure's side
GRID = 4  # cells of a figure's side; a cell is a vision patch, which is what makes labels quick to learn to read
CELL = SIDE // GRID
SCALE = 2  # pixels of a glyph's dot
NOISE = 0.04  # standard deviation, of the range from paper to ink

Point = tuple[float, float]
Cell = tuple[int, int]

# Five by seven dots, a row per line, most significant bit at the left.
GLYPHS = {
    "0": (0b01110, 0b10001, 0b10011, 0b10101, 0b11001, 0b10001, 0b01110),
    "1": (0b00100, 0b01100, 0b00100, 0b00100, 0b00100, 0b00100, 0b01110),
    "2": (0b01110, 0b10001, 0b00001, 0b00110, 0b01000, 0b10000, 0b11111),
    "3": (0b11110, 0b00001, 0b00001, 0b01110, 0b00001, 0b00001, 0b11110),
    "4": (0b00010, 0b00110, 0b01010, 0b10010, 0b11111, 0b00010, 0b00010),
    "5": (0b11111, 0b10000, 0b11110, 0b00001, 0b00001, 0b10001, 0b01110),
    "6": (0b00110, 0b01000, 0b10000, 0b11110, 0b10001, 0b10001, 0b01110),
    "7": (0b11111, 0b00001, 0b00010, 0b00100, 0b01000, 0b01000, 0b01000),
    "8": (0b01110, 0b10001, 0b10001, 0b01110, 0b10001, 0b10001, 0b01110),
    "9": (0b01110, 0b10001, 0b10001, 0b01111, 0b00001, 0b00010, 0b01100),
    "?": (0b01110, 0b10001, 0b00001, 0b00110, 0b00100, 0b00000, 0b00100),
}


def _bitmap(rows: tuple[int, ...]) -> np.ndarray:
    dots = np.array([[row >> shift & 1 for shift in range(4, -1, -1)] for row in rows], dtype=np.float32)
    return np.kron(dots, np.ones((SCALE, SCALE), dtype=np.float32))


BITMAPS = {character: _bitmap(rows) for character, rows in GLYPHS.items()}
ROWS, COLUMNS = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32) + 0.5


class Canvas:
    """A white square of paper. Points are (x, y) pixels from the top left, cells (row, column)."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.ink = np.zeros((SIDE, SIDE), dtype=np.float32)

    def line(self, start: Point, end: Point, shade: float = 0.6) -> None:
        """A straight line, 1.6 pixels wide."""
        (x0, y0), (x1, y1) = start, end
        window = _window(min(x0, x1), max(x0, x1), min(y0, y1), max(y0, y1))
        dx, dy = x1 - x0, y1 - y0
        px, py = COLUMNS[window] - x0, ROWS[window] - y0
        along = np.clip((px * dx + py * dy) / (dx * dx + dy * dy), 0, 1)
        self._stroke(window, np.hypot(px - along * dx, py - along * dy), shade)

    def outline(self, corners: list[Point], shade: float = 0.6) -> None:
        """A closed polygon."""
        for start, end in zip(corners, corners[1:] + corners[:1], strict=True):
            self.line(start, end, shade)

    def circle(self, centre: Point, radius: float, shade: float = 0.6) -> None:
        """A circle's outline."""
        x, y = centre
        window = _window(x - radius, x + radius, y - radius, y + radius)
        distance = np.hypot(COLUMNS[window] - x, ROWS[window] - y)
        self._stroke(window, np.abs(distance - radius), shade)

    def arc(self, vertex: Point, first: Point, second: Point, radius: float = 7) -> None:
        """The mark of an angle (below 180 degrees) at `vertex`, between the directions of two points."""
        from_, to = (math.atan2(point[1] - vertex[1], point[0] - vertex[0]) for point in (first, second))
        turn = (to - from_ + math.pi) % (2 * math.pi) - math.pi
        points = [
            (vertex[0] + radius * math.cos(from_ + turn * part), vertex[1] + radius * math.sin(from_ + turn * part))
            for part in (0, 0.5, 1)
        ]
        self.line(points[0], points[1], 0.4)
        self.line(points[1], points[2], 0.4)

    def bar(self, left: float, right: float, top: float, bottom: float) -> None:
        """A filled bar with an outline."""
        self.ink[int(top) : int(bottom), int(left) : int(right)] = 0.25
        self.outline([(left, top), (right, top), (right, bottom), (left, bottom)])

    def labels(self, cells: Sequence[Cell], texts: Iterable[str | int]) -> None:
        """Write texts into cells so that they stand in reading order: by rows, then from left to right."""
        for cell, text in zip(sorted(cells), texts, strict=True):
            self.label(cell, str(text))

    def label(self, cell: Cell, text: str) -> None:
        """Write one or two characters into a cell, at a random place inside it."""
        bitmap = BITMAPS[text[0]]
        for character in text[1:]:
            bitmap = np.hstack([bitmap, np.zeros((bitmap.shape[0], SCALE), np.float32), BITMAPS[character]])
        height, width = bitmap.shape
        # Whole dots of jitter: a label has few enough places for a single linear patch projection to read it.
        top = cell[0] * CELL + SCALE * int(self.rng.integers((CELL - height) // SCALE + 1))
        margin = SCALE if len(text) == 1 else 0  # two neighbours must not look like one number
        left = cell[1] * CELL + margin + SCALE * int(self.rng.integers((CELL - width - 2 * margin) // SCALE + 1))
        place = self.ink[top : top + height, left : left + width]
        np.maximum(place, bitmap, out=place)

    def pixels(self) -> np.ndarray:
        """The finished figure with its noise: (96, 96) bytes, 255 is paper."""
        noise = NOISE * self.rng.standard_normal(self.ink.shape, dtype=np.float32)
        return (255 * np.clip(1 - self.ink + noise, 0, 1)).round().astype(np.uint8)

    def _stroke(self, window: tuple[slice, slice], distance: np.ndarray, shade: float) -> None:
        place = self.ink[window]
        np.maximum(place, shade * np.clip(1.3 - distance, 0, 1), out=place)


def _window(left: float, right: float, top: float, bottom: float) -> tuple[slice, slice]:
    """The pixels that a stroke inside this box can touch."""
    rows = slice(max(0, int(top) - 2), min(SIDE, int(bottom) + 3))
    return rows, slice(max(0, int(left) - 2), min(SIDE, int(right) + 3))


def image(pixels: np.ndarray) -> PILImage.Image:
    """The figure as processors take it: RGB."""
    return PILImage.fromarray(pixels).convert("RGB")
