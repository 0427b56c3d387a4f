"""Intervals against scipy's bootstrap and hand values, any order of problems, and data in which nothing varies."""

import numpy as np
import pytest
from scipy.stats import binomtest, bootstrap

from warmrl.stats.intervals import (
    Interval,
    clustered_corrected,
    clustered_miller,
    gather,
    interval,
    limits,
    numbered,
    standard_error,
    wilson,
)
from warmrl.stats.resampling import Sums, resample_counts


class Replicates:
    """What scipy's `bootstrap` takes as an earlier result, so that both use the same draws."""

    def __init__(self, distribution: np.ndarray) -> None:
        self.bootstrap_distribution = distribution


def replicates(values: np.ndarray, weights: np.ndarray, seed: int) -> np.ndarray:
    ratio = gather(values, weights)
    return Sums([ratio], lambda: resample_counts(len(values), 10_000, seed), 10_000).scores(ratio)


def skewed(n: int = 80) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(5)
    return generator.beta(0.5, 2, n), generator.integers(5, 200, n).astype(float)


@pytest.mark.parametrize("method", ["bca", "percentile"])
@pytest.mark.parametrize("weights", [False, True])
def test_limits_are_scipys_on_the_same_draws(method: str, weights: bool) -> None:
    values, tokens = skewed()
    w = tokens if weights else np.ones_like(values)
    ours = interval(values, w, method=method, seed=3)
    theirs = bootstrap(
        (values * w, w),
        lambda x, y, axis=-1: x.sum(axis=axis) / y.sum(axis=axis),
        paired=True,
        method=method,
        n_resamples=0,
        bootstrap_result=Replicates(replicates(values, w, seed=3)),
    ).confidence_interval
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


def test_limits_are_close_to_scipys_own_draws() -> None:
    values, _ = skewed(300)
    theirs = bootstrap((values,), np.mean, n_resamples=10_000, rng=np.random.default_rng(0)).confidence_interval
    ours = interval(values)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.002)
    student = interval(values, method="t")
    assert (student.low, student.high) == pytest.approx((ours.low, ours.high), abs=0.006)


def test_t_is_students_interval_of_a_mean() -> None:
    ours = interval([1.0, 2.0, 4.0, 7.0], method="t")
    reach = 3.182446305284263 * np.std([1, 2, 4, 7], ddof=1) / 2
    assert (ours.low, ours.high) == pytest.approx((3.5 - reach, 3.5 + reach), abs=1e-12)


def test_draws_are_whole_resamples_and_a_function_of_the_seed() -> None:
    counts = np.concatenate(resample_counts(37, 5000, 11))
    assert (counts.sum(axis=1) == 37).all()
    assert counts.mean(axis=0) == pytest.approx(np.ones(37), abs=0.08)
    assert counts.var() == pytest.approx(36 / 37, abs=0.02)
    np.testing.assert_array_equal(counts, np.concatenate(resample_counts.__wrapped__(37, 5000, 11)))
    assert (counts != np.concatenate(resample_counts(37, 5000, 12))).any()


def test_missing_values_are_left_out_and_counted() -> None:
    some = interval([0.0, None, 1.0, float("nan"), 1.0, 0.0, 1.0])
    assert (some.n, some.missing) == (5, 2)
    assert some.value == pytest.approx(0.6)
    assert 0 <= some.low < 0.6 < some.high <= 1


def test_a_cluster_is_resampled_whole() -> None:
    values = np.repeat(np.random.default_rng(0).integers(0, 2, 60), 5).astype(float)
    clusters = [f"image {i // 5}" for i in range(300)]
    whole, apart = interval(values, clusters=clusters), interval(values)
    alone = interval(values[::5])
    assert (whole.n, whole.value, whole.low, whole.high) == pytest.approx((60, alone.value, alone.low, alone.high))
    assert whole.high - whole.low > 2 * (apart.high - apart.low)


@pytest.mark.parametrize("values", [[0.0] * 50, [1.0] * 50, [0.3] * 50, [0.7], [None, 0.2]])
@pytest.mark.parametrize("method", ["bca", "percentile", "t"])
def test_no_variation_is_flagged_and_never_nan(values: list[float | None], method: str) -> None:
    found = interval(values, method=method)
    assert found.degenerate
    assert found.low == found.value == found.high


def test_nothing_at_all() -> None:
    assert interval([]) == Interval(None, None, None, 0, 0, "bca", True)
    assert interval([None, None]).value is None


def test_extreme_data_stay_finite() -> None:
    for values in ([0.0] * 99 + [1.0], [1.0, 0.0], [1e9] + [0.0] * 20, [1e-9] * 5 + [0.0]):
        found = interval(values)
        assert np.isfinite([found.low, found.high]).all()
        assert found.low <= found.value <= found.high


def test_bca_falls_back_where_its_correction_does_not_exist() -> None:
    replicates = np.linspace(1, 2, 500)
    low, high, method = limits(0.5, replicates, np.linspace(0, 1, 20), 0.95, "bca")
    assert method == "percentile"
    assert (low, high) == pytest.approx((1.025, 1.975))


@pytest.mark.parametrize(
    ("values", "weights"), [([1.0, np.inf], None), ([1.0, 2.0], [1.0, -1.0]), ([1.0, 2.0], [1.0]), ([[1.0]], None)]
)
def test_impossible_data_are_refused(values: object, weights: object) -> None:
    with pytest.raises(ValueError):
        interval(values, weights)  # type: ignore[arg-type]


def test_wilson_reference_values() -> None:
    """Newcombe 1998 (Statistics in Medicine 17, table I): 81 of 263, 15 of 148, 0 of 20, 1 of 29."""
    for right, n, low, high in [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0, 0.1611)]:
        assert wilson(right, n) == pytest.approx((low, high), abs=5e-5)
    assert wilson(1, 29) == pytest.approx((0.0061, 0.1718), abs=5e-5)
    theirs = binomtest(7, 40).proportion_ci(0.9, method="wilson")
    assert wilson(7, 40, 0.9) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_wilson_is_for_plain_zeros_and_ones() -> None:
    right = [1.0] * 30 + [None]
    found = interval(right, method="wilson")
    assert (found.method, found.degenerate, found.n, found.high) == ("wilson", False, 30, 1.0)
    assert found.low == pytest.approx(wilson(30, 30)[0]) and found.low < 0.9
    mixed = [0.0, 1.0, 1.0, 0.0, 1.0]
    assert interval([0.5, *mixed], method="wilson") == interval([0.5, *mixed], method="bca")
    assert interval(mixed, [1, 1, 2, 1, 1], method="wilson").method == "bca"
    assert interval(mixed, clusters=[0, 1, 2, 3, 3], method="wilson").method == "bca"


def test_clustered_standard_errors_by_hand() -> None:
    values, clusters = [1.0, 1.0, 0.0, 0.0], ["a", "a", "b", "b"]
    # squares 4 x 1/4; pairs within a cluster 2 x 1/4 each, both clusters: s^2 / n = (1 / 3) / 4, pairs 1 / 16
    assert clustered_miller(values, clusters) == pytest.approx((1 / 12 + 1 / 16) ** 0.5, abs=1e-15)
    # sums of clusters +1 and -1: 2 / (2 - 1) (1 + 1) / 16
    assert clustered_corrected(values, clusters) == pytest.approx(0.5, abs=1e-15)
    # mean 2/5: distances .6 .6 -.4 -.4 -.4, sums by cluster 1.2, -.8, -.4
    five, groups = [*values, 0.0], [*clusters, "c"]
    assert clustered_miller(five, groups) == pytest.approx(((1.2 / 4) / 5 + (2.24 - 1.2) / 25) ** 0.5, abs=1e-15)
    assert clustered_corrected(five, groups) == pytest.approx((3 / 2 * 2.24) ** 0.5 / 5, abs=1e-15)


def test_clustered_standard_errors_without_clusters_are_the_plain_one() -> None:
    values, _ = skewed(50)
    plain = standard_error(values)
    assert clustered_miller(values, range(50)) == pytest.approx(plain, rel=1e-12)
    assert clustered_corrected(values, range(50)) == pytest.approx(plain, rel=1e-12)


def test_the_spread_of_influence_is_the_corrected_sandwich() -> None:
    values, _ = skewed(60)
    clusters = [f"image {i // 7}" for i in range(60)]
    influence = gather(values, np.ones(60), numbered(clusters)).influence()
    assert standard_error(influence) == pytest.approx(clustered_corrected(values, clusters), rel=1e-12)
    assert clustered_miller(values, clusters) < clustered_corrected(values, clusters)


@pytest.mark.parametrize("method", ["bca", "percentile", "t"])
@pytest.mark.parametrize("clustered", [False, True])
def test_order_of_problems_does_not_matter_to_the_last_bit(method: str, clustered: bool) -> None:
    """E12: with ids, shuffled problems give the same bits."""
    values, tokens = skewed(97)
    ids = [f"problem {i}" for i in range(97)]
    images = [f"image {i // 3}" for i in range(97)]
    first = interval(values, tokens, ids=ids, clusters=images if clustered else None, method=method)
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(97)
        again = interval(
            values[order],
            tokens[order],
            ids=[ids[i] for i in order],
            clusters=[images[i] for i in order] if clustered else None,
            method=method,
        )
        assert again == first
    assert method == "t" or interval(values[::-1], tokens[::-1], method=method) != first


def test_ids_are_of_the_problems() -> None:
    with pytest.raises(ValueError, match="occur twice: b"):
        interval([0.0, 1.0, 1.0], ids=["a", "b", "b"])
    with pytest.raises(ValueError, match="2 ids"):
        interval([0.0, 1.0, 1.0], ids=["a", "b"])
