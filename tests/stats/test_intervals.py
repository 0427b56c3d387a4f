"""Intervals against scipy's bootstrap, their coverage, and the data in which nothing varies."""

import time

import numpy as np
import pytest
from scipy.stats import bootstrap

from warmrl.stats.estimators import distinct_at_k, pass_at_k
from warmrl.stats.intervals import Interval, Ratio, interval, limits, resample_counts, resampled_scores


class Replicates:
    """What scipy's `bootstrap` takes as an earlier result, so that both use the same draws."""

    def __init__(self, distribution: np.ndarray) -> None:
        self.bootstrap_distribution = distribution


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
        bootstrap_result=Replicates(resampled_scores(10_000, 3, Ratio(values * w, w))[0]),
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
    counts = resample_counts(37, 5000, 11)
    assert (counts.sum(axis=1) == 37).all()
    assert counts.mean(axis=0) == pytest.approx(np.ones(37), abs=0.08)
    assert counts.var() == pytest.approx(36 / 37, abs=0.02)
    np.testing.assert_array_equal(counts, resample_counts.__wrapped__(37, 5000, 11))
    assert (counts != resample_counts(37, 5000, 12)).any()


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


def test_speed() -> None:
    values = np.random.default_rng(0).random(300)
    interval(values, seed=1)
    start = time.perf_counter()
    for _ in range(5):
        interval(values, seed=1)
    assert (time.perf_counter() - start) / 5 < 0.1


def simulated_scores(n: int, generator: np.random.Generator) -> dict[str, np.ndarray]:
    """Scores of `n` problems of 16 samples each: difficulty Beta(.5, .75), wrong answers of four kinds."""
    chance = generator.beta(0.5, 0.75, n)
    right = generator.binomial(16, chance)
    wrong = [generator.multinomial(16 - c, [0.5, 0.25, 0.15, 0.1]) for c in right]
    return {
        "pass@1": right / 16,
        "pass@4": np.array([pass_at_k(16, int(c), 4) for c in right]),
        "pass@16": (right > 0).astype(float),
        "diversity@4": np.array([distinct_at_k([int(c), *map(int, w)], 4) for c, w in zip(right, wrong, strict=True)]),
        "rows": np.repeat(right, 16) > np.tile(np.arange(16), n),
    }


def coverage(n: int, runs: int, names: list[str], draws: int) -> dict[str, float]:
    generator = np.random.default_rng(n)
    large = simulated_scores(200_000, generator)
    truth = {name: large[name].mean() for name in names}
    hits = dict.fromkeys(names, 0)
    for _ in range(runs):
        scores = simulated_scores(n, generator)
        for name in names:
            found = interval(scores[name].astype(float), draws=draws, seed=n)
            hits[name] += found.low <= truth[name] <= found.high
    return {name: hits[name] / runs for name in names}


@pytest.mark.slow
@pytest.mark.parametrize("n", [100, 300, 601])
def test_coverage(n: int) -> None:
    found = coverage(n, 2000, ["pass@1", "pass@4", "pass@16", "diversity@4"], draws=1000)
    assert all(0.935 <= share <= 0.965 for share in found.values()), found


@pytest.mark.slow
def test_resampling_rows_is_the_wrong_unit() -> None:
    assert coverage(100, 300, ["rows"], draws=400)["rows"] < 0.6
