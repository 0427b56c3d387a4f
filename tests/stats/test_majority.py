"""maj@k against every subset counted out, as fractions; ties, silence, order, and the draws above the exact size."""

import itertools
import math
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multinomial

from warmrl.stats import majority
from warmrl.stats.majority import maj_at_k, maj_at_k_error


def counted_out(counts: list[int], right: list[bool], k: int, silent: int) -> Fraction:
    """The mean credit over every subset of k samples."""
    samples = [answer for answer, count in enumerate(counts) for _ in range(count)] + [None] * silent
    total = Fraction(0)
    for subset in itertools.combinations(samples, k):
        votes = Counter(answer for answer in subset if answer is not None).most_common()
        tied = [answer for answer, times in votes if times == votes[0][1]]
        total += Fraction(sum(right[answer] for answer in tied), len(tied) or 1)
    return total / math.comb(len(samples), k)


answers = st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=4)


@settings(max_examples=30, deadline=None)
@given(answers, st.integers(0, 2))
def test_exact_for_every_subset_size(votes: list[tuple[int, bool]], silent: int) -> None:
    counts, right = [count for count, _ in votes], [good for _, good in votes]
    for k in range(1, sum(counts) + silent + 1):
        exact = counted_out(counts, right, k, silent)
        assert abs(Fraction(maj_at_k(counts, right, k, silent)) - exact) <= 1e-12


@settings(deadline=None)
@given(answers.filter(lambda votes: sum(count for count, _ in votes) > 0), st.randoms())
def test_order_of_answers_does_not_matter(votes: list[tuple[int, bool]], random: object) -> None:
    shuffled = sorted(votes, key=lambda _: random.random())  # type: ignore[attr-defined]
    for k in range(1, sum(count for count, _ in votes) + 1):
        assert maj_at_k(*zip(*votes, strict=True), k) == maj_at_k(*zip(*shuffled, strict=True), k)


def test_reference_values() -> None:
    assert maj_at_k([3, 2], [True, False], 5) == 1
    assert maj_at_k([2, 2, 1], [True, False, False], 5) == 1 / 2  # a tie is shared, whoever came first
    assert maj_at_k([2, 2, 2], [False, True, True], 6) == pytest.approx(2 / 3, abs=1e-12)
    assert maj_at_k([1], [True], 8, silent=7) == 1  # who says nothing doesn't vote
    assert maj_at_k([], [], 4, silent=4) == 0
    assert maj_at_k([5, 11], [True, False], 1) == 5 / 16  # one vote is one sample
    assert maj_at_k([8, 4, 2, 1, 1], [True, False, False, False, False], 2) == pytest.approx(0.5, abs=1e-12)


def test_size_of_the_exact_part() -> None:
    """Every case of 20 000 subsets or fewer up to 200 samples is exact, and so are the sizes that people use."""
    for n, k in [(16, 8), (64, 32), (200, 199), (200, 198), (256, 64)]:
        assert maj_at_k_error([n // 2, n - n // 2 - 1, 1], [True, False, False], k)[1] == 0.0


@pytest.mark.parametrize(("counts", "k", "silent"), [([2, 1], 4, 0), ([2, 1], 0, 0), ([], 1, 0), ([-1, 3], 1, 0)])
def test_what_cannot_be_estimated_is_refused(counts: list[int], k: int, silent: int) -> None:
    with pytest.raises(ValueError):
        maj_at_k(counts, [True] * len(counts), k, silent)


def test_draws_agree_with_the_exact_value_within_their_error(monkeypatch: pytest.MonkeyPatch) -> None:
    counts, right = [6, 5, 3, 1], [False, True, False, True]
    exact = maj_at_k(counts, right, 6, 1)
    monkeypatch.setattr(majority, "MOST_WORK", 0)
    value, error = maj_at_k_error(counts, right, 6, 1)
    assert 0 < error < 0.01
    assert abs(value - exact) <= 4 * error
    assert (value, error) == maj_at_k_error(counts[::-1], right[::-1], 6, 1)


def test_unbiased_for_a_vote_among_fresh_samples() -> None:
    """E2: what 16 samples say of a vote among 5 is, in the mean, what 5 fresh samples do."""
    generator = np.random.default_rng(5)
    chances, right = [0.4, 0.35, 0.15], [True, False, False]  # a tenth says nothing
    rows = generator.multinomial(16, [*chances, 0.1], 20_000).tolist()
    found = np.array([maj_at_k(row[:3], right, 5, row[3]) for row in rows])
    fresh = [row for row in itertools.product(range(6), repeat=4) if sum(row) == 5]
    truth = sum(multinomial.pmf(row, 5, [*chances, 0.1]) * maj_at_k(row[:3], right, 5, row[3]) for row in fresh)
    assert abs(found.mean() - truth) <= 3 * found.std(ddof=1) / math.sqrt(len(found))
    with_all = np.array([maj_at_k(row[:3], right, 16, row[3]) for row in rows])
    assert abs(with_all.mean() - truth) > 3 * with_all.std(ddof=1) / math.sqrt(len(found))  # maj@16 is another number
