"""maj@k: how often the most frequent answer of k samples is right, from how often each answer occurred among n."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

from warmrl.stats.estimators import check_draw

MOST_WORK = 4_000_000
"""Largest n k (k + 1) / 2 done exactly, in two seconds at worst: any k up to n = 200, k = 176 of 256; above, draws."""
DRAWS = 10_000


def maj_at_k(counts: Sequence[int], right: Sequence[bool], k: int, silent: int = 0) -> float:
    """Expected credit of a vote among k of the n samples, drawn without replacement: unbiased for k fresh samples.

    `counts[i]` samples gave answer i, which is right or not; `silent` samples gave no readable answer and don't vote
    (n is the sum of all). Answers tied for the most votes share the credit, so each right one earns 1 / tied: no
    answer wins by having come first. A vote that nobody casts earns nothing. Exact for every k <= n up to
    `MOST_WORK`. Raises ValueError when n < k.
    """
    return maj_at_k_error(counts, right, k, silent)[0]


def maj_at_k_error(counts: Sequence[int], right: Sequence[bool], k: int, silent: int = 0) -> tuple[float, float]:
    """`maj_at_k` and the standard error of its computation: 0 where it is exact, else of seeded random draws."""
    votes = tuple(sorted((count, bool(good)) for count, good in zip(counts, right, strict=True) if count))
    n = sum(count for count, _ in votes) + silent
    check_draw("maj@", n, sum(count for count, good in votes if good), k)
    if k == n:
        return _credit(votes), 0.0
    if n * k * (k + 1) // 2 <= MOST_WORK:
        return _exact(votes, k, silent), 0.0
    return _drawn(votes, k, silent)


def _credit(votes: Sequence[tuple[int, bool]]) -> float:
    """The share of right answers among those with the most votes."""
    top = max((count for count, _ in votes), default=0)
    tied = [good for count, good in votes if count == top]
    return sum(tied) / len(tied) if tied else 0.0


@lru_cache(maxsize=65536)
def _exact(votes: tuple[tuple[int, bool], ...], k: int, silent: int) -> float:
    """The mean credit over all C(n, k) subsets, in whole numbers.

    For each top m: among the answers with m samples or more, `ways[tied, good][size]` counts the choices of `size`
    samples with m votes for each of `tied` answers (of which `good` are right) and fewer for the others. Answers
    with fewer samples, and silence, fill the rest in any way.
    """
    n = sum(count for count, _ in votes) + silent
    total: dict[int, int] = {}
    for top in range(1, min(k, max((count for count, _ in votes), default=0)) + 1):
        free = silent + sum(count for count, _ in votes if count < top)
        ways: dict[tuple[int, int], list[int]] = {(0, 0): [1] + [0] * k}
        for count, good in (vote for vote in votes if vote[0] >= top):
            ways = _with_answer(ways, count, good, top, k)
        for (tied, winners), sizes in ways.items():
            if winners:
                subsets = sum(many * math.comb(free, k - size) for size, many in enumerate(sizes) if many)
                total[tied] = total.get(tied, 0) + winners * subsets
    common = math.lcm(*total)
    return sum(subsets * (common // tied) for tied, subsets in total.items()) / (common * math.comb(n, k))


def _with_answer(
    ways: dict[tuple[int, int], list[int]], count: int, good: bool, top: int, k: int
) -> dict[tuple[int, int], list[int]]:
    """The choices `ways` with one more answer of `count` samples: fewer than `top` of them chosen, or exactly `top`."""
    fewer = [math.comb(count, votes) for votes in range(top)]
    tie = math.comb(count, top)
    longer: dict[tuple[int, int], list[int]] = {}
    for (tied, winners), sizes in ways.items():
        below = longer.setdefault((tied, winners), [0] * (k + 1))
        for size, many in enumerate(sizes):
            if many:
                for votes, choices in enumerate(fewer[: k + 1 - size]):
                    below[size + votes] += many * choices
        if (tied + 1) * top <= k:
            level = longer.setdefault((tied + 1, winners + good), [0] * (k + 1))
            for size, many in enumerate(sizes[: k + 1 - top]):
                level[size + top] += many * tie
    return longer


@lru_cache(maxsize=65536)
def _drawn(votes: tuple[tuple[int, bool], ...], k: int, silent: int) -> tuple[float, float]:
    """The mean credit of `DRAWS` random subsets and its standard error; a pure function of its arguments."""
    generator = random.Random(f"maj@{k} of {votes} and {silent}")  # noqa: S311 - no secret
    samples = [*range(len(votes)), None]
    many = [*(count for count, _ in votes), silent]
    earned = []
    for _ in range(DRAWS):
        cast = Counter(answer for answer in generator.sample(samples, k, counts=many) if answer is not None)
        earned.append(_credit([(times, votes[answer][1]) for answer, times in cast.items()]))
    mean = math.fsum(earned) / DRAWS
    spread = math.fsum((credit - mean) ** 2 for credit in earned) / (DRAWS - 1)
    return mean, math.sqrt(spread / DRAWS)
