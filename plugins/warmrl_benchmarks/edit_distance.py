"""The Levenshtein distance, for texts of any length: one of them as the bits of a whole number."""

from __future__ import annotations

import numpy as np


def distance(long: str, short: str) -> int:
    """Fewest insertions, deletions and substitutions of code points that turn one text into the other; case counts.

    Hyyrö's bit-parallel recurrence (2003, after Myers 1999), a step for each character of `short` on whole numbers of
    `len(long)` bits: a million characters against a choice take a fraction of a second. Symmetric in its value.
    """
    if not long or not short:
        return len(long) + len(short)
    codes = np.frombuffer(long.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    places = {one: bits_of(codes == ord(one)) for one in set(short)}
    every, last = (1 << len(long)) - 1, 1 << (len(long) - 1)
    up, down, found = every, 0, len(long)
    for one in short:
        same = places[one]
        diagonal = (((same & up) + up) ^ up) | same | down
        right, left = down | (every & ~(diagonal | up)), diagonal & up
        found += bool(right & last) - bool(left & last)
        right, left = (right << 1) | 1, left << 1
        up, down = (left | ~(diagonal | right)) & every, right & diagonal & every
    return found


def bits_of(marks: np.ndarray) -> int:
    """A number whose bit i says `marks[i]`."""
    return int.from_bytes(np.packbits(marks, bitorder="little").tobytes(), "little")


def nearest(text: str, choices: list[str]) -> str:
    """The choice of the least distance; the first of several."""
    return min(choices, key=lambda choice: distance(text, choice))
