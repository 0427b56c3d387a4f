"""Stateless randomness: every draw comes from a generator seeded by what it is for, so nothing has to be saved."""

from __future__ import annotations

import hashlib

import numpy as np


def seed_of(*parts: str | int) -> int:
    """A 64-bit seed from the words and numbers that say what a draw is for (run seed, stage, purpose, step, item)."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def generator(*parts: str | int) -> np.random.Generator:
    """A generator of its own for what `parts` name."""
    return np.random.Generator(np.random.Philox(seed_of(*parts)))


def epoch_slice(size: int, start: int, count: int, *parts: str | int) -> list[int]:
    """Items `start` .. `start + count` of an endless sequence of shuffled epochs over `size` items."""
    out: list[int] = []
    for epoch in range(start // size, (start + count - 1) // size + 1):
        order = generator(*parts, "epoch", epoch).permutation(size)
        low, high = max(start - epoch * size, 0), min(start + count - epoch * size, size)
        out.extend(int(item) for item in order[low:high])
    return out
