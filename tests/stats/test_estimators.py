"""The estimators against exact fractions, published reference values, and the wrong formulas they replace."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from warmrl.stats.estimators import (
    avg_at_k,
    collision,
    distinct_at_k,
    effective_number,
    miller_madow_entropy,
    pass_at_k,
    pass_hat_k,
    plugin_entropy_biased,
)

COUNTS = [8, 4, 2, 1, 1]


def exact_pass_at_k(n: int, c: int, k: int) -> Fraction:
    return 1 - Fraction(math.comb(n - c, k), math.comb(n, k))


def is_exact(value: float, wanted: int, of: int) -> bool:
    """Whether `value` is within 1e-12 of wanted / of, in whole numbers (fractions are ten times slower)."""
    top, bottom = value.as_integer_ratio()
    return abs(top * of - wanted * bottom) * 10**12 <= of * bottom


def cases(largest: int) -> list[tuple[int, int, int]]:
    return [(n, c, k) for n in range(1, largest + 1) for c in range(n + 1) for k in range(1, n + 1)]


def test_pass_at_k_is_exact_for_every_small_case() -> None:
    for n, c, k in cases(64):
        assert is_exact(pass_at_k.__wrapped__(n, c, k), math.comb(n, k) - math.comb(n - c, k), math.comb(n, k))
    assert not is_exact(pass_at_k(64, 5, 7) + 2e-12, math.comb(64, 7) - math.comb(59, 7), math.comb(64, 7))


def test_pass_hat_k_is_exact_for_every_small_case() -> None:
    """All k right: never a wrong one among k, so it is pass@k of the wrong ones turned around."""
    for n, c, k in cases(32):
        assert is_exact(pass_hat_k(n, c, k), math.comb(c, k), math.comb(n, k))
        assert abs(1 - pass_at_k(n, n - c, k) - pass_hat_k(n, c, k)) <= 1e-12
    assert (pass_hat_k(16, 4, 1), pass_hat_k(16, 15, 16), pass_hat_k(16, 16, 16)) == (1 / 4, 0, 1)
    assert pass_hat_k(5, 4, 2) == 3 / 5


def test_pass_at_k_equals_the_share_of_subsets_that_hold_a_right_one() -> None:
    for n, c, k in cases(8):
        subsets = list(itertools.combinations([True] * c + [False] * (n - c), k))
        assert pass_at_k(n, c, k) == pytest.approx(sum(map(any, subsets)) / len(subsets), abs=1e-12)


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ((16, 1, 1), 1 / 16),
        ((16, 1, 4), 1 / 4),
        ((16, 1, 8), 1 / 2),
        ((16, 1, 16), 1),
        ((16, 2, 8), 23 / 30),
        ((16, 4, 4), 265 / 364),
        ((32, 1, 16), 1 / 2),
        ((32, 2, 16), 47 / 62),
        ((64, 3, 16), 1523 / 2604),
        ((5, 2, 3), 9 / 10),
        ((10, 0, 5), 0),
        ((1024, 1, 256), 1 / 4),
        ((200, 13, 100), 0.999919497199),
        ((100_000, 3, 50_000), 0.8750037500375),
        ((2**20, 2, 2**19), 0.7500002384188),
    ],
)
def test_pass_at_k_reference_values(case: tuple[int, int, int], expected: float) -> None:
    assert pass_at_k(*case) == pytest.approx(expected, abs=1e-12)


def test_logarithms_agree_with_whole_numbers_above_the_border() -> None:
    for n, c, k in [(1001, 7, 500), (1500, 700, 3), (2000, 2, 1999), (3000, 900, 16), (1001, 999, 4)]:
        assert abs(Fraction(pass_at_k(n, c, k)) - exact_pass_at_k(n, c, k)) <= 1e-12
        assert abs(Fraction(pass_hat_k(n, c, k)) - Fraction(math.comb(c, k), math.comb(n, k))) <= 1e-12


def test_drawing_with_replacement_is_the_wrong_formula() -> None:
    wrong = max(abs(1 - (1 - c / n) ** k - float(exact_pass_at_k(n, c, k))) for n, c, k in cases(24))
    assert wrong > 0.3  # the estimator's own tolerance is 1e-12, so the mutant cannot pass
    assert pytest.approx(0.6439, abs=1e-4) == 1 - (1 - 1 / 16) ** 16


@pytest.mark.parametrize(("n", "c", "k"), [(4, 1, 5), (4, 1, 0), (0, 0, 1), (4, 5, 1), (4, -1, 1)])
def test_what_cannot_be_estimated_is_refused(n: int, c: int, k: int) -> None:
    for estimator in (pass_at_k, pass_hat_k, avg_at_k):
        with pytest.raises(ValueError):
            estimator(n, c, k)


def standard_errors_off(table: list[float], truth: float, chance: float, draws: int = 100_000) -> float:
    """How many standard errors the mean of an estimator, `table[c]` for c right of n, is from the truth."""
    right = np.random.default_rng(7).binomial(len(table) - 1, chance, draws)
    estimates = np.array(table)[right]
    return abs(estimates.mean() - truth) / (estimates.std(ddof=1) / math.sqrt(draws))


@pytest.mark.parametrize("chance", [0.02, 0.1, 0.4])
@pytest.mark.parametrize("k", [1, 4, 8, 16])
def test_estimators_are_unbiased_and_drawing_with_replacement_is_not(k: int, chance: float) -> None:
    """E2: 100 000 problems of 16 samples; the bias is within three standard errors."""
    n = 16
    truth = 1 - (1 - chance) ** k
    assert standard_errors_off([pass_at_k(n, c, k) for c in range(n + 1)], truth, chance) <= 3
    if chance**k > 1e-4:  # rarer than that, 100 000 draws hold too few
        assert standard_errors_off([pass_hat_k(n, c, k) for c in range(n + 1)], chance**k, chance) <= 3
    assert standard_errors_off([avg_at_k(n, c, k) for c in range(n + 1)], chance, chance) <= 3
    if k > 1:
        assert standard_errors_off([1 - (1 - c / n) ** k for c in range(n + 1)], truth, chance) > 3


def test_distinct_at_k_is_unbiased() -> None:
    chances = np.array([0.5, 0.2, 0.1, 0.1, 0.05, 0.05])
    counts = np.random.default_rng(3).multinomial(16, chances, 20_000)
    found = np.array([distinct_at_k(tuple(row), 8) for row in counts.tolist()])
    truth = (1 - (1 - chances) ** 8).sum()
    assert abs(found.mean() - truth) <= 3 * found.std(ddof=1) / math.sqrt(len(found))


def test_diversity_reference_vector() -> None:
    assert distinct_at_k(COUNTS, 4) == pytest.approx(1201 / 455, abs=1e-12)
    assert distinct_at_k(COUNTS, 8) == pytest.approx(3.728127, abs=1e-6)
    assert distinct_at_k(COUNTS, 16) == 5
    assert collision(COUNTS) == pytest.approx(7 / 24, abs=1e-12)
    assert effective_number(COUNTS) == pytest.approx(24 / 7, abs=1e-12)
    assert plugin_entropy_biased(COUNTS) == pytest.approx(1.299650963549897, abs=1e-12)
    assert miller_madow_entropy(COUNTS) == pytest.approx(1.424650963549897, abs=1e-12)


@settings(deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=8), st.randoms())
def test_diversity_does_not_depend_on_the_order_of_answers(counts: list[int], random: object) -> None:
    shuffled = sorted(counts, key=lambda _: random.random())  # type: ignore[attr-defined]
    for k in range(1, sum(counts) + 1):
        assert distinct_at_k(counts, k) == distinct_at_k(shuffled, k)
        assert 1 - 1e-12 <= distinct_at_k(counts, k) <= min(k, len(counts)) + 1e-12


def test_answers_that_never_agree() -> None:
    assert effective_number([1, 1, 1]) == math.inf
    assert distinct_at_k([1] * 5, 3) == pytest.approx(3, abs=1e-12)
    with pytest.raises(ValueError, match="two samples"):
        collision([1])
