"""Crossed intervals of methods: hand values, coverage with 3 and 5 seeds, and intervals that leave one side out."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import t as student
from scipy.stats import ttest_ind, ttest_rel

from warmrl.stats.contrasts import NOT_RESOLVABLE
from warmrl.stats.crossed import Arm, Crossed, crossed_parts, method_contrast, method_mean

Rows = np.ndarray


def test_parts_by_hand() -> None:
    """Means of seeds 1, 2, 6 (variance 7), of problems 2 and 4; what is left is +-1, 0, -+1."""
    rows = np.array([[-1.0, 3.0], [1.0, 3.0], [6.0, 6.0]])
    arm = Arm.of(rows)
    assert (arm.score, arm.seeds, arm.between, arm.interaction) == pytest.approx((3, 3, 7, 2))
    assert arm.units == pytest.approx([2, 4])
    # noise 2 / (3 x 2), problems 2 / 2 - 1 / 3, seeds (7 - 2 / 2) / 3
    parts = crossed_parts([arm])
    assert (parts.between, parts.freedom, parts.within, parts.within_freedom) == pytest.approx((2, 2, 1, 1))
    found = method_mean(rows)
    assert (found.second, found.standard_error, found.freedom) == pytest.approx((3, math.sqrt(3), 2))
    reach = math.sqrt(2 * student.ppf(0.975, 2) ** 2 + student.ppf(0.975, 1) ** 2)
    assert (found.low, found.high) == pytest.approx((3 - reach, 3 + reach))


def test_p_is_the_level_at_which_the_interval_touches_zero() -> None:
    generator = np.random.default_rng(8)
    first, second = generator.random((3, 50)), generator.random((4, 50)) + 0.05
    found = method_contrast(first, second)
    touching = method_contrast(first, second, level=1 - found.p)
    assert touching.low == pytest.approx(0, abs=1e-9) and 0.001 < found.p < 0.9
    assert method_contrast(first, second + 50).p < 1e-3


def test_the_same_value_on_every_problem_leaves_welchs_test_of_the_seeds() -> None:
    first, second = np.array([0.1, 0.2, 0.4]), np.array([0.5, 0.9, 0.8, 0.7])
    found = method_contrast(first[:, None] + np.zeros(50), second[:, None] + np.zeros(50))
    welch = ttest_ind(second, first, equal_var=False)
    assert (found.p, found.freedom) == pytest.approx((welch.pvalue, welch.df))
    assert (found.low, found.high) == pytest.approx(tuple(welch.confidence_interval()))


def test_runs_that_agree_leave_the_paired_test_of_the_problems() -> None:
    first, second = np.random.default_rng(0).random((2, 80))
    found = method_contrast(np.tile(first, (3, 1)), np.tile(second, (3, 1)))
    paired = ttest_rel(second, first)
    assert found.p == pytest.approx(paired.pvalue)
    assert (found.low, found.high) == pytest.approx(tuple(paired.confidence_interval()))


def test_swapping_the_arms_changes_the_sign_alone() -> None:
    generator = np.random.default_rng(1)
    first, second = generator.random((3, 60)), generator.random((5, 60)) + 0.1
    one, two = method_contrast(first, second), method_contrast(second, first)
    assert (one.difference, one.low, one.high, one.p) == pytest.approx((-two.difference, -two.high, -two.low, two.p))
    assert (one.seeds, two.seeds) == ((3, 5), (5, 3))


def test_a_token_mean_is_the_mean_of_its_runs_ratios() -> None:
    generator = np.random.default_rng(2)
    nats, tokens = generator.random((4, 50)), generator.integers(1, 90, (4, 50)).astype(float)
    found = method_mean(nats, tokens)
    assert found.second == pytest.approx(((nats * tokens).sum(axis=1) / tokens.sum(axis=1)).mean(), abs=1e-12)
    even = method_mean(nats, np.full((4, 50), 7.0))
    plain = method_mean(nats)
    assert (even.second, even.low, even.high) == pytest.approx((plain.second, plain.low, plain.high), abs=1e-12)


def test_clusters_count_as_one_problem_and_gaps_are_left_out_of_all() -> None:
    generator = np.random.default_rng(3)
    first, second = generator.random((3, 40)), generator.random((3, 40))
    doubled = [np.repeat(side, 2, axis=1) for side in (first, second)]
    whole = method_contrast(*doubled, clusters=[i // 2 for i in range(80)])
    plain = method_contrast(first, second)
    assert (whole.n, whole.low, whole.high) == pytest.approx((40, plain.low, plain.high))
    holed = second.copy()
    holed[1, 5] = np.nan
    gap, without = method_contrast(first, holed), method_contrast(np.delete(first, 5, 1), np.delete(second, 5, 1))
    assert (gap.n, gap.missing, gap.low) == pytest.approx((39, 1, without.low))


def test_order_of_problems_does_not_matter_to_the_last_bit() -> None:
    generator = np.random.default_rng(4)
    first, second, tokens = generator.random((3, 45)), generator.random((3, 45)), generator.integers(1, 9, (3, 45))
    ids = [f"problem {i}" for i in range(45)]
    found = method_contrast(first, second, tokens, tokens, ids=ids)
    order = generator.permutation(45)
    again = method_contrast(
        first[:, order], second[:, order], tokens[:, order], tokens[:, order], ids=[ids[i] for i in order]
    )
    assert again == found


def test_words_need_an_interval_without_zero_and_a_difference_that_this_size_shows() -> None:
    generator = np.random.default_rng(5)
    base = generator.random((3, 200))
    better = method_contrast(base, generator.random((3, 200)) + 0.3)
    assert better.low > 0 and better.difference > better.mde and better.words == "up"
    assert better.in_family(0.2, 9, 0.95).words == NOT_RESOLVABLE
    same = method_contrast(np.ones((3, 9)), np.ones((3, 9)))
    assert same.degenerate and same.words == NOT_RESOLVABLE and same.low == same.high == 0
    for seed in range(200):
        rows = np.random.default_rng(seed).random((2, 3, 30))
        found = method_contrast(rows[0], rows[1] + 0.1)
        assert found.words == NOT_RESOLVABLE or found.low > 0 or found.high < 0


@pytest.mark.parametrize("seeds", [0, 1, 2])
def test_below_three_seeds_nothing_is_said_of_methods(seeds: int) -> None:
    enough, few = np.ones((3, 10)), np.ones((seeds, 10))
    for call in (lambda: method_contrast(enough, few), lambda: method_contrast(few, enough), lambda: method_mean(few)):
        with pytest.raises(ValueError, match="3 seeds"):
            call()


def test_impossible_data_are_refused() -> None:
    with pytest.raises(ValueError, match="matrix"):
        method_mean([1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="same problems"):
        method_contrast(np.ones((3, 4)), np.ones((3, 5)))
    with pytest.raises(ValueError, match="finite"):
        method_mean([[np.inf, 1.0]] * 3)
    nothing = method_contrast(np.full((3, 4), np.nan), np.ones((3, 4)))
    assert (nothing.n, nothing.missing, nothing.words) == (0, 4, "no problem in common")


def studies(
    kind: str, runs: int, arms: int, seeds: int, between: float, generator: np.random.Generator, n: int = 200
) -> Rows:
    """Scores of `runs` simulated studies of equal methods: (runs, arms, seeds, n).

    Difficulty is shared by the arms; each has an own part of it, a part of the run, and their interaction.
    """
    shape = (runs, arms, seeds, n)
    logits = generator.normal(0, 1.2, (runs, 1, 1, n)) + generator.normal(0, 0.4, (runs, arms, 1, n))
    logits = logits + generator.normal(0, between, (runs, arms, seeds, 1)) + generator.normal(0, 0.3, shape)
    chance = 1 / (1 + np.exp(-logits))
    if kind == "avg@16":
        return generator.binomial(16, chance) / 16
    return (generator.random(shape) < 1 - (1 - 0.15 * chance) ** 16).astype(float)


def coverage(kind: str, seeds: int, between: float, judge: Callable[[Rows, Rows], Crossed], runs: int = 2000) -> float:
    """Share of simulated studies whose interval holds zero, the truth; none that holds it is called a difference."""
    generator = np.random.default_rng([seeds, int(100 * between)])
    held = 0
    for _ in range(runs // 100):
        for first, second in studies(kind, 100, 2, seeds, between, generator):
            found = judge(first, second)
            inside = found.low <= 0 <= found.high
            assert not (inside and found.resolved)
            held += inside
    return held / runs


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("kind", ["pass@16", "avg@16"])
def test_coverage(kind: str, seeds: int) -> None:
    """Between-seed variance none, about as large as the problems' share, and far larger (sd in logits)."""
    found = {between: coverage(kind, seeds, between, method_contrast) for between in (0, 0.15, 1.0)}
    print(kind, seeds, found)
    assert all(0.92 <= share <= 0.98 for share in found.values()), found


@pytest.mark.slow
def test_coverage_of_one_arm() -> None:
    """The mean of one method, whose truth is that of many runs on many problems."""
    generator = np.random.default_rng(0)
    truth = studies("pass@16", 200, 1, 3, 0.25, generator, 2000).mean()
    held = 0
    for _ in range(10):
        for (rows,) in studies("pass@16", 100, 1, 3, 0.25, generator):
            found = method_mean(rows)
            held += found.low <= truth <= found.high
    assert 0.92 <= held / 1000 <= 0.98


@pytest.mark.slow
def test_leaving_seeds_or_problems_out_is_the_wrong_interval() -> None:
    def problems_alone(first: Rows, second: Rows) -> Crossed:
        means = [np.tile(side.mean(axis=0), (3, 1)) for side in (first, second)]
        return method_contrast(*means)

    def seeds_alone(first: Rows, second: Rows) -> Crossed:
        return method_contrast(*(side.mean(axis=1, keepdims=True) + np.zeros(200) for side in (first, second)))

    assert coverage("avg@16", 3, 0.4, problems_alone, runs=300) < 0.5
    assert coverage("avg@16", 5, 0.0, seeds_alone, runs=300) < 0.9
