"""Means that every metric shares: exact sums, so that a value is the same to the last bit in any order of samples."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

from warmrl.api import Sample, Value


def average(numbers: Iterable[float]) -> Value | None:
    """The plain mean, None of nothing."""
    listed = list(numbers)
    return Value(math.fsum(listed) / len(listed)) if listed else None


def per_token(samples: Sequence[Sample], sums: Iterable[float | None]) -> Value | None:
    """The sum over a problem's tokens divided by them, weighted by them; None where a sample's sum isn't known.

    So the weighted mean over problems is the sum over all tokens divided by all tokens.
    """
    known = [one for one in sums if one is not None]
    lengths = [one.tokens for one in samples if one.tokens is not None]
    tokens = sum(lengths)
    if min(len(known), len(lengths)) < len(samples) or tokens == 0:
        return None
    return Value(math.fsum(known) / tokens, weight=tokens)


def answer_counts(samples: Sequence[Sample]) -> tuple[list[int], int]:
    """How often each answer was given, by its canonical form, largest first; and how many samples gave none."""
    counts = Counter(sample.canonical for sample in samples)
    silent = counts.pop(None, 0)
    return sorted(counts.values(), reverse=True), silent
