"""Paired contrasts: shared draws, exact tests, what a size can show, and the cases without any difference."""

import numpy as np
import pytest
from scipy.stats import binomtest, bootstrap, permutation_test

from warmrl.stats.contrasts import NOT_RESOLVABLE, contrast, mcnemar, minimum_detectable
from warmrl.stats.intervals import interval


def pair(n: int = 300, gain: float = 0.1, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Greedy verdicts of two correlated policies."""
    generator = np.random.default_rng(seed)
    chance, luck = generator.beta(1, 1, n), generator.random(n)
    return (luck < chance).astype(float), (0.5 * luck + 0.5 * generator.random(n) < chance + gain).astype(float)


def test_an_unweighted_contrast_is_the_interval_of_the_differences() -> None:
    first, second = pair()
    found, plain = contrast(first, second, seed=4), interval(second - first, seed=4)
    assert (found.difference, found.low, found.high) == pytest.approx((plain.value, plain.low, plain.high))
    theirs = bootstrap((second - first,), np.mean, n_resamples=10_000, rng=np.random.default_rng(0))
    assert (found.low, found.high) == pytest.approx(tuple(theirs.confidence_interval), abs=0.004)


def test_weights_of_each_side_are_its_own() -> None:
    generator = np.random.default_rng(1)
    tokens = generator.integers(1, 50, (2, 120)).astype(float)
    nats = generator.random((2, 120))
    found = contrast(nats[0], nats[1], tokens[0], tokens[1])
    means = (nats * tokens).sum(axis=1) / tokens.sum(axis=1)
    assert (found.first, found.second, found.difference) == pytest.approx((*means, means[1] - means[0]))
    assert found.low < found.difference < found.high
    assert found.mcnemar is None


def test_swapping_the_sides_changes_the_sign_alone() -> None:
    first, second = pair(gain=0.15)
    one, two = contrast(first, second, method="t"), contrast(second, first, method="t")
    assert (one.low, one.high) == pytest.approx((-two.high, -two.low))
    assert (one.p, one.mde, one.mcnemar) == pytest.approx((two.p, two.mde, two.mcnemar))


def test_sign_flip_agrees_with_scipy() -> None:
    first, second = pair(60, 0.08)
    second = second + np.random.default_rng(2).normal(0, 0.1, 60)
    theirs = permutation_test(
        (first, second), lambda x, y: x.mean() - y.mean(), permutation_type="samples", n_resamples=5000, rng=0
    )
    assert contrast(first, second).p == pytest.approx(theirs.pvalue, abs=0.02)


def test_mcnemar_is_the_binomial_test_of_what_changed() -> None:
    for gained, lost in [(0, 0), (1, 0), (7, 2), (30, 30), (3, 19)]:
        first = np.array([0.0] * gained + [1.0] * lost + [1.0] * 5)
        second = np.array([1.0] * gained + [0.0] * lost + [1.0] * 5)
        expected = binomtest(gained, gained + lost, 0.5).pvalue if gained + lost else 1.0
        assert mcnemar(first, second) == pytest.approx(expected, abs=1e-12)
    assert mcnemar(np.array([0.5]), np.array([1.0])) is None


@pytest.mark.parametrize(
    ("problems", "disagreement", "points"),
    [(300, 0.05, 3.6), (300, 0.10, 5.1), (601, 0.20, 5.1), (1000, 0.15, 3.4), (900, 0.30, 5.1)],
)
def test_minimum_detectable_difference_reference_values(problems: int, disagreement: float, points: float) -> None:
    assert 100 * minimum_detectable((disagreement / problems) ** 0.5) == pytest.approx(points, abs=0.05)


def test_words() -> None:
    first, second = pair(gain=0.3)
    assert contrast(first, second).words == "up"
    assert contrast(second, first).words == "down"
    close = contrast(*pair(gain=-0.005))
    assert close.words == NOT_RESOLVABLE and not close.resolved


def test_a_difference_below_the_minimum_is_not_resolved_even_where_the_interval_excludes_zero() -> None:
    differences = np.array([1.0] * 12 + [-1.0] * 3 + [0.0] * 285)
    found = contrast(np.zeros(300), differences)
    assert found.low > 0 and found.difference < found.mde
    assert found.words == NOT_RESOLVABLE


def test_problems_missing_on_one_side_are_left_out_of_both() -> None:
    first, second = [1.0, 0.0, None, 1.0, 0.0], [1.0, 1.0, 1.0, None, 0.0]
    found = contrast(first, second)
    assert (found.n, found.missing, found.first, found.second) == pytest.approx((3, 2, 1 / 3, 2 / 3))


def test_no_difference_anywhere() -> None:
    same = contrast([1.0, 0.0, 1.0] * 20, [1.0, 0.0, 1.0] * 20)
    assert (same.difference, same.low, same.high, same.p, same.mcnemar) == (0, 0, 0, 1, 1)
    assert same.degenerate and same.mde is None and same.words == NOT_RESOLVABLE


def test_every_problem_changed_alike() -> None:
    everything = contrast(np.zeros(50), np.ones(50))
    assert everything.degenerate and everything.resolved and everything.words == "up"
    few = contrast(np.zeros(3), np.ones(3))
    assert not few.resolved  # three problems give p = 1/4, whatever they say
    assert contrast([], []).words == "no problem in common"
    assert contrast([None], [1.0]).difference is None


def test_lengths_must_agree() -> None:
    with pytest.raises(ValueError, match="same problems"):
        contrast([1.0], [1.0, 0.0])


def test_clusters_widen_a_contrast() -> None:
    first, second = (np.repeat(side, 4) for side in pair(80))
    clusters = [i // 4 for i in range(320)]
    whole, apart = contrast(first, second, clusters=clusters), contrast(first, second)
    assert whole.n == 80 and whole.mde == pytest.approx(2 * apart.mde, rel=0.02) and whole.mcnemar is None
