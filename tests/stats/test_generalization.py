"""The Generalization Factor against the published curve, its limits, and a resampling written out by hand."""

import math

import numpy as np
import pytest

from warmrl.stats.generalization import Factor, Side, factor, generalization_factor
from warmrl.stats.suites import Score

# SPECS, figure of the Generalization Factor: in-domain and out-of-domain percentages, and the plotted factor.
PUBLISHED = {"SFT": (98.0, 69.2, 73.5), "DPO": (98.7, 89.7, 91.4), "DPO+SFT": (98.5, 94.6, 95.4)}


@pytest.mark.parametrize("curve", PUBLISHED)
def test_the_published_points(curve: str) -> None:
    inside, outside, plotted = PUBLISHED[curve]
    assert round(float(generalization_factor(inside, outside)), 1) == plotted
    assert float(generalization_factor(inside / 100, outside / 100)) == pytest.approx(plotted / 100, abs=5e-4)
    assert round(float(generalization_factor(inside, outside, 0.5)), 1) != plotted  # the mutant: precision's side


def test_limits() -> None:
    assert float(generalization_factor(0.3, 0.3)) == pytest.approx(0.3)
    assert float(generalization_factor(0.9, 0.2, 1e6)) == pytest.approx(0.2)
    assert float(generalization_factor(0.9, 0.2, 1e-6)) == pytest.approx(0.9)
    assert float(generalization_factor(0.9, 0.2, 1e300)) == pytest.approx(0.2)
    assert float(generalization_factor(0.9, 0.2, math.inf)) == pytest.approx(0.2)
    assert float(generalization_factor(0.9, 0.2, 1e-300)) == pytest.approx(0.9)
    assert float(generalization_factor(1e-320, 1e-320)) >= 0
    assert float(generalization_factor(0.9, 0.2, 1)) == pytest.approx(2 * 0.9 * 0.2 / 1.1)
    assert float(generalization_factor(1.0, 1e-12)) < 1e-11


@pytest.mark.parametrize("sides", [(0, 0), (-0.1, 0.5), (0.5, -0.1), (-0.2, -0.2), (0.5, 0), (-0.4, 0.1), (-0.25, 1)])
def test_a_side_that_is_not_above_zero_gives_zero(sides: tuple[float, float]) -> None:
    assert float(generalization_factor(*sides)) == 0.0


def test_beta_is_above_zero() -> None:
    with pytest.raises(ValueError, match="beta"):
        generalization_factor(1, 1, 0)


def sides(gain: float, n: int = 120, seed: int = 0) -> Side:
    draw = np.random.default_rng(seed)
    before = draw.random(n) < 0.4
    after = before | (draw.random(n) < gain)
    ids = [f"p{i:03d}" for i in range(n)]
    return Side(ids, Score(after.astype(float)), Score(before.astype(float)))


def by_hand(inside: Side, outside: list[Side], draws: int) -> np.ndarray:
    """The factor of resampled problems, one draw at a time, by the formula."""
    found = []
    for number in range(draws):
        gains = []
        for place, side in enumerate([inside, *outside]):
            pick = np.random.default_rng([place, number]).integers(len(side.ids), size=len(side.ids))
            gains.append(np.mean(side.score.values[pick]) - np.mean(side.baseline.values[pick]))
        shares = [side.share for side in outside]
        g, h = gains[0], np.dot(gains[1:], shares) / sum(shares)
        found.append(0.0 if min(g, h) <= 0 else 5 * g * h / (4 * g + h))
    return np.array(found)


def test_the_interval_is_of_resampled_problems() -> None:
    inside = sides(0.5)
    first, second = sides(0.2, seed=1), sides(0.1, n=80, seed=2)
    outside = [first, Side(second.ids, second.score, second.baseline, share=3.0)]
    found = factor([inside], outside, draws=4000)
    replicates = by_hand(inside, outside, 4000)
    assert found.value == pytest.approx(float(generalization_factor(found.in_domain, found.out_of_domain)))
    assert not found.clamped
    low, high = np.quantile(replicates, [0.025, 0.975])
    assert found.low == pytest.approx(low, abs=0.012)
    assert found.high == pytest.approx(high, abs=0.012)


def test_raw_scores_and_missing_values() -> None:
    inside = Side(["a", "b", "c"], Score([1.0, 1.0, math.nan]))
    found = factor([inside], [Side(["d", "e"], Score([1.0, 0.0]))], draws=400)
    assert found.value == pytest.approx(5 * 1 * 0.5 / 4.5)
    assert found.clamped_draws == pytest.approx(0.25, abs=0.08)  # both draws are `e`
    gone = Side(["a", "b"], Score([1.0, 1.0]), Score([0.0, math.nan]))  # `b` has no baseline: left out of both
    assert factor([gone], [gone], draws=200).in_domain == 1.0
    assert factor([gone], [Side(["d"], Score([math.nan]))], draws=200) == Factor(
        None, None, None, None, None, False, 0.0
    )


def test_no_gain_is_flagged_and_never_nan() -> None:
    flat = Side(["a", "b"], Score([1.0, 0.0]), Score([1.0, 0.0]))
    found = factor([flat], [sides(0.3)], draws=200)
    assert (found.value, found.low, found.high, found.clamped, found.clamped_draws) == (0.0, 0.0, 0.0, True, 1.0)
