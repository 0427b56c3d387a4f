"""Unbiased estimators of one problem's samples: pass@k, pass^k, avg@k, and how many different answers a policy gives.

`counts` are how often each distinct answer occurred among the n samples of a problem; their sum is n. The majority's
answer, maj@k, is in `majority`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

EXACT_UP_TO = 1000
"""Samples up to which pass@k is a quotient of whole numbers, correctly rounded; above, a sum of logarithms."""


@lru_cache(maxsize=65536)
def pass_at_k(n: int, c: int, k: int) -> float:
    """Probability that k of n samples, drawn without replacement, hold one of the c right ones.

    1 - C(n-c, k) / C(n, k), unbiased for the chance that k fresh samples hold a right one (Chen 2021,
    arXiv:2107.03374). Raises ValueError when n < k: then no unbiased estimate exists.
    """
    check_draw("pass@", n, c, k)
    if n - c < k:
        return 1.0
    if n <= EXACT_UP_TO:
        ways = math.comb(n, k)
        return (ways - math.comb(n - c, k)) / ways
    few, many = min(c, k), max(c, k)
    return -math.expm1(math.fsum(math.log1p(-many / (n - i)) for i in range(few)))


@lru_cache(maxsize=65536)
def pass_hat_k(n: int, c: int, k: int) -> float:
    """pass^k: probability that k of n samples, drawn without replacement, are all among the c right ones.

    C(c, k) / C(n, k), unbiased for the chance that k fresh samples are all right (Yao 2024, arXiv:2406.12045).
    Raises ValueError when n < k.
    """
    check_draw("pass^", n, c, k)
    if c < k:
        return 0.0
    if n <= EXACT_UP_TO:
        return math.comb(c, k) / math.comb(n, k)
    few, many = min(n - c, k), max(n - c, k)
    return math.exp(math.fsum(math.log1p(-many / (n - i)) for i in range(few)))


def avg_at_k(n: int, c: int, k: int) -> float:
    """avg@k: mean share of right samples among k of n, c / n whatever k is. Raises ValueError when n < k."""
    check_draw("avg@", n, c, k)
    return c / n


def check_draw(name: str, n: int, c: int, k: int) -> None:
    """Refuse counts that cannot be, and k samples where there are fewer: then no unbiased estimate exists."""
    if not 0 <= c <= n:
        raise ValueError(f"{c} right of {n} samples is impossible")
    if not 1 <= k <= n:
        raise ValueError(f"{name}{k} needs at least {max(k, 1)} samples and k of at least 1; there are {n} samples")


def distinct_at_k(counts: Sequence[int], k: int) -> float:
    """Expected number of distinct answers among k of the n samples (rarefaction): sum_a [1 - C(n-c_a, k) / C(n, k)].

    Unbiased for the number that k fresh samples would show, for k <= n (Hurlbert 1971): the twin of pass@k.
    """
    n = sum(counts)
    return math.fsum(pass_at_k(n, count, k) for count in counts)


def collision(counts: Sequence[int]) -> float:
    """Probability that two different samples agree: sum_a c_a (c_a - 1) / (n (n - 1)); unbiased, needs n >= 2."""
    n = sum(counts)
    if n < 2:
        raise ValueError(f"a collision needs two samples; there is {n}")
    return sum(count * (count - 1) for count in counts) / (n * (n - 1))


def effective_number(counts: Sequence[int]) -> float:
    """Effective number of answers: 1 / collision; infinite when no two samples agree."""
    agree = collision(counts)
    return 1 / agree if agree else math.inf


def plugin_entropy_biased(counts: Sequence[int]) -> float:
    """Entropy of the answers in nats by the plug-in formula -sum p ln p, p = c_a / n.

    Biased low at small n (at n = 16: 1.83 where the truth is 2.47), so never a headline.
    """
    n = sum(counts)
    return -math.fsum(count / n * math.log(count / n) for count in counts if count)


def miller_madow_entropy(counts: Sequence[int]) -> float:
    """Plug-in entropy in nats with Miller and Madow's first-order correction (D - 1) / 2n, D answers seen."""
    seen = sum(count > 0 for count in counts)
    return plugin_entropy_biased(counts) + (seen - 1) / (2 * sum(counts))
