"""Sizes of studies: Miller's formula, the table of minimum detectable differences, and simulated studies of methods."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from warmrl.stats.contrasts import contrast
from warmrl.stats.crossed import method_contrast
from warmrl.stats.power import (
    Spread,
    binary_sampling,
    detectable,
    problems_needed,
    samples_needed,
    seeds_needed,
    spread_of_checkpoints,
    spread_of_methods,
)

TABLE = {
    300: (3.6, 5.1, 6.3, 7.2, 8.9),
    601: (2.6, 3.6, 4.4, 5.1, 6.3),
    900: (2.1, 3.0, 3.6, 4.2, 5.1),
    1000: (2.0, 2.8, 3.4, 4.0, 4.9),
    938: (2.0, 2.9, 3.5, 4.1, 5.0),
}


@pytest.mark.parametrize(("problems", "row"), TABLE.items())
def test_paired_binary_table(problems: int, row: tuple[float, ...]) -> None:
    """Points found with 80 % power where two disagree on a share of the problems."""
    for disagreement, points in zip((0.05, 0.10, 0.15, 0.20, 0.30), row, strict=True):
        assert 100 * detectable(Spread(disagreement), problems) == pytest.approx(points, abs=0.051)


def test_problems_needed_is_millers_formula() -> None:
    spread = Spread(1 / 9, (1 / 6, 1 / 4))
    z = norm.ppf(0.975) + norm.ppf(0.8)
    for samples in [(1, 1), (4, 16)]:
        expected = z**2 * (1 / 9 + 1 / 6 / samples[0] + 1 / 4 / samples[1]) / 0.03**2
        assert problems_needed(spread, 0.03, samples) == math.ceil(expected)
    assert problems_needed(Spread(1 / 9), 0.03) == 969  # Miller 2024, section 5: variance 1/9, three points
    assert samples_needed(Spread(1 / 9, (1 / 6, 1 / 6)), 0.03, 1000) == 94
    assert samples_needed(Spread(1 / 9), 0.03, 900) is None  # no number of samples helps


@settings(max_examples=50, deadline=None)
@given(st.floats(0.001, 0.5), st.floats(0, 0.3), st.floats(0, 1e-4), st.floats(0.02, 0.3), st.integers(1, 32))
def test_needed_sizes_are_the_fewest(omega: float, noise: float, seeds: float, difference: float, samples: int) -> None:
    spread, k = Spread(omega, (noise, noise), (seeds, seeds), (noise / 3, 0.0)), (samples, samples)
    for runs in (None, (3, 4)):
        n = problems_needed(spread, difference, k, runs)
        if n is not None and n > 2:
            assert detectable(spread, n, k, runs) <= difference < detectable(spread, n - 1, k, runs)
    s = seeds_needed(spread, difference, 300, k)
    if s is not None and s > 3:
        assert detectable(spread, 300, k, (s, s)) <= difference < detectable(spread, 300, k, (s - 1, s - 1))


def test_problems_do_not_replace_seeds() -> None:
    noisy = Spread(0.05, seeds=(0.001, 0.001))
    assert problems_needed(noisy, 0.03, seeds=(3, 3)) is None
    assert 3 < seeds_needed(noisy, 0.03, 2000) < 100
    assert detectable(noisy, 2000, seeds=(3, 3)) > detectable(noisy, 2000, seeds=(10, 10)) > detectable(noisy, 2000)
    assert seeds_needed(noisy, 0.001, 300) is None


def test_variances_come_back_from_two_checkpoints() -> None:
    generator = np.random.default_rng(0)
    n, k = 20_000, 8
    chance = generator.beta(1, 1, n)
    other = np.clip(chance + generator.normal(0, 0.1, n), 0, 1)
    right = generator.binomial(k, np.stack([chance, other]))
    noise = (binary_sampling(right[0], k), binary_sampling(right[1], k))
    spread = spread_of_checkpoints(right[0] / k, right[1] / k, noise, (k, k))
    assert spread.problems == pytest.approx((other - chance).var(), abs=0.002)
    assert spread.sampling == pytest.approx([(p * (1 - p)).mean() for p in (chance, other)], abs=0.003)
    assert spread.standard_error(n, (k, k)) == pytest.approx(
        (right[1] / k - right[0] / k).std() / math.sqrt(n), rel=1e-3
    )
    found = contrast(right[0, :300] / k, right[1, :300] / k, draws=100)
    plain = spread_of_checkpoints(right[0, :300] / k, right[1, :300] / k)
    assert detectable(plain, 300) == pytest.approx(found.mde, rel=1e-9)


def studies(spread: Spread, seeds: int, n: int, difference: float, generator: np.random.Generator) -> np.ndarray:
    """Two arms of one study, (2, seeds, n), normal in every part of `spread`; each score is one sample."""
    own = generator.normal(0, math.sqrt(spread.problems / 2), (2, 1, n)) + generator.normal(0, 0.3, n)
    runs = np.sqrt(np.array(spread.seeds))[:, None, None] * generator.normal(size=(2, seeds, 1))
    cell = np.sqrt(np.array(spread.interaction) + np.array(spread.sampling))[:, None, None]
    arms = own + runs + cell * generator.normal(size=(2, seeds, n))
    arms[1] += difference
    return arms


TRUE = Spread(0.04, (0.1, 0.2), (0.0004, 0.0009), (0.02, 0.01))


def test_variances_come_back_from_runs_of_two_methods() -> None:
    first, second = studies(TRUE, 400, 1500, 0.1, np.random.default_rng(0))
    found = spread_of_methods(first, second, (0.1, 0.2))
    assert found.problems == pytest.approx(TRUE.problems, rel=0.1)
    assert found.seeds == pytest.approx(TRUE.seeds, rel=0.25)
    assert found.interaction == pytest.approx(TRUE.interaction, abs=0.004)
    few = spread_of_methods(first[:3], second[:3])
    again = method_contrast(first[:3], second[:3])
    assert few.standard_error(1500, seeds=(3, 3)) == pytest.approx(again.standard_error, rel=1e-9)
    assert detectable(few, 1500, seeds=(3, 3)) == pytest.approx(again.mde, rel=0.2)


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [3, 6])
def test_power_of_studies_of_methods(seeds: int) -> None:
    """At the detectable difference, four in five studies find it (p below 5 %, the right way)."""
    generator = np.random.default_rng(seeds)
    difference = detectable(TRUE, 200, seeds=(seeds, seeds))
    found = [method_contrast(*studies(TRUE, seeds, 200, difference, generator)) for _ in range(2000)]
    assert sum(one.low > 0 for one in found) / 2000 == pytest.approx(0.8, abs=0.04)


def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match="same problems"):
        spread_of_checkpoints([0.1, 0.2], [0.1])
    with pytest.raises(ValueError, match="two samples"):
        binary_sampling([1], 1)
    with pytest.raises(ValueError, match="3 seeds"):
        detectable(TRUE, 100, seeds=(2, 3))
    with pytest.raises(ValueError, match="3 seeds"):
        spread_of_methods(np.ones((2, 5)), np.ones((3, 5)))
    with pytest.raises(ValueError, match="above zero"):
        problems_needed(TRUE, 0.0)
