"""Random resamples and swaps of units, and the sums of many scores over them, to the last bit in any company.

Scores are rounded to a grid so coarse that every sum is exact in float64 (`on_grid`). So a result depends neither on
the order of a sum, nor on the linear algebra library and its threads, nor on which scores are computed together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Counts = NDArray[np.uint16] | NDArray[np.uint8]

BLOCK = 300_000
"""Most counts handled at once: few enough to stay in the processor's cache (measured: twice as fast as 4 000 000)."""

CLOSE = 1e-10
"""Relative difference below which two scores tie: above what the grid and a last division can change."""


@dataclass(frozen=True)
class Ratio:
    """A score sum(w v) / sum(w): its value, and numerator w v and denominator w of each unit on the grid, (N,) each."""

    value: float
    numerators: Array
    denominators: Array

    def leave_one_out(self) -> Array:
        """The score without each unit in turn: (N,)."""
        rest = self.denominators.sum() - self.denominators
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray((self.numerators.sum() - self.numerators) / rest)

    def influence(self) -> Array:
        """First-order share of each unit in the score's error, (w v - w score) / mean(w): (N,), mean zero."""
        return np.asarray((self.numerators - self.denominators * self.value) / self.denominators.mean())


def on_grid(column: Array) -> Array:
    """`column` (N,) rounded to multiples of a power of two, so that N of its entries add up without rounding.

    The step is 2^-52 of the next power of two above N max|column|: at N = 2 000 an entry moves by 2.5e-13 of the
    largest at most. Shares in halves, quarters … of moderate size, and whole numbers, don't move at all.
    """
    _, exponent = np.frexp(len(column) * np.abs(column).max(initial=0.0))
    step = np.ldexp(1.0, int(exponent) - 52)
    return np.asarray(np.rint(column / step) * step)


def count_blocks(n: int, draws: int, seed: int) -> Iterator[NDArray[np.uint16]]:
    """How often each of n units occurs in each resample, (draws, n) in blocks of rows."""
    generator = np.random.default_rng(seed)
    rows = max(1, BLOCK // n)
    for start in range(0, draws, rows):
        block = min(rows, draws - start)
        picks = generator.integers(n, size=(block, n), dtype=np.int32)
        picks += (np.arange(block, dtype=np.int32) * n)[:, None]
        yield np.bincount(picks.ravel(), minlength=block * n).reshape(block, n).astype(np.uint16)


def swap_blocks(n: int, draws: int, seed: int) -> Iterator[NDArray[np.uint8]]:
    """Which of n units have their two sides swapped in each permutation, 1 or 0: (draws, n) in blocks of rows.

    Apart from the bootstrap's draws: its generator is another.
    """
    generator = np.random.default_rng([seed, 1])
    rows = max(1, BLOCK // n)
    for start in range(0, draws, rows):
        bits = generator.integers(256, size=(min(rows, draws - start), -(-n // 8)), dtype=np.uint8)
        yield np.unpackbits(bits, axis=1, count=n)


@lru_cache(maxsize=2)
def resample_counts(n: int, draws: int, seed: int) -> tuple[NDArray[np.uint16], ...]:
    """`count_blocks`, kept for the next score of the same suite."""
    return tuple(count_blocks(n, draws, seed))


@lru_cache(maxsize=2)
def swaps(n: int, draws: int, seed: int) -> tuple[NDArray[np.uint8], ...]:
    """`swap_blocks`, kept for the next score of the same suite."""
    return tuple(swap_blocks(n, draws, seed))


class Sums:
    """Sums of the numerators and denominators of many ratios over every row of `blocks`; equal columns once.

    `blocks` is called only when there is a ratio.
    """

    def __init__(self, ratios: Sequence[Ratio], blocks: Callable[[], Iterable[Counts]], draws: int) -> None:
        self._places: dict[bytes, int] = {}
        columns: list[Array] = []
        for column in (column for ratio in ratios for column in (ratio.numerators, ratio.denominators)):
            if self._places.setdefault(column.tobytes(), len(columns)) == len(columns):
                columns.append(column)
        table, sums = np.array(columns).T, np.empty((draws, len(columns)))
        done = 0
        for block in blocks() if columns else ():
            np.matmul(block.astype(np.float64), table, out=sums[done : done + len(block)])
            done += len(block)
        self._sums = np.ascontiguousarray(sums.T)

    def of(self, column: Array) -> Array:
        """The sum of a column over each row: (draws,)."""
        return np.asarray(self._sums[self._places[column.tobytes()]])

    def scores(self, ratio: Ratio) -> Array:
        """The score of a ratio over each row: (draws,); NaN without weight."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(self.of(ratio.numerators) / self.of(ratio.denominators))


def swapped_differences(first: Ratio, second: Ratio, sums: Sums) -> Array:
    """Second score minus first after each permutation of the two sides: (draws,); `sums` are over `swap_blocks`."""
    numerators = sums.of(second.numerators) - sums.of(first.numerators)
    denominators = sums.of(second.denominators) - sums.of(first.denominators)
    with np.errstate(invalid="ignore", divide="ignore"):
        one = (first.numerators.sum() + numerators) / (first.denominators.sum() + denominators)
        two = (second.numerators.sum() - numerators) / (second.denominators.sum() - denominators)
    return np.asarray(two - one)
