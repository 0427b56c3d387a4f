"""Until when arms are apart, and how a start goes with a gain."""

import numpy as np
import pytest

from warmrl.stats.crossed import Crossed, method_change, method_contrast, method_mean, share_limits
from warmrl.stats.separation import FEWEST_ARMS, clustered_rho, in_order, last_apart


def told(p: float) -> Crossed:
    """A contrast that would be resolved by its p alone."""
    return Crossed(0.0, 1.0, 1.0, 0.5, 1.5, 0.2, 4.0, p, 0.1, (3, 3), 100, 0, False)


def test_a_step_stands_with_all_before_it_or_all_after_it() -> None:
    found = in_order([told(p) for p in (0.001, 0.002, 0.6, 0.001, 0.003)], 2, 0.95)
    assert [one.adjusted for one in found] == pytest.approx([0.004, 0.008, 1.0, 0.012, 0.012])
    assert [one.resolved for one in found] == [True, True, False, True, True]
    assert last_apart([0, 20, 40, 60, 80], found) == 80


def test_a_difference_in_the_middle_alone_is_not_found() -> None:
    found = in_order([told(p) for p in (0.5, 1e-9, 0.5)], 1, 0.95)
    assert not any(one.resolved for one in found)
    assert last_apart([0, 1, 2], found) is None


def test_many_steps_of_no_difference_hold_the_level() -> None:
    """Independent and equal p along 20 steps of 5 arms: the chance of any claim stays below 5 %."""
    generator = np.random.default_rng(0)
    for alike in (False, True):
        false = 0
        for _ in range(100):
            rows = generator.random((5, 1 if alike else 20)).repeat(20 if alike else 1, axis=1)
            false += any(one.resolved for ps in rows for one in in_order([told(p) for p in ps], 5, 0.95))
        assert false / 100 <= 0.05


def test_rho_is_of_arms_not_of_runs() -> None:
    generator = np.random.default_rng(1)
    level = generator.normal(size=8).repeat(5)
    noise = generator.normal(size=40)
    found = clustered_rho(level + 0.01 * noise, -level + 0.01 * noise, [str(place // 5) for place in range(40)])
    assert found.value is not None and found.value < -0.9 and (found.arms, found.runs) == (8, 40)
    assert found.low is not None and found.high is not None and found.low <= found.value <= found.high < 0


def test_where_nothing_goes_together_rho_says_so() -> None:
    generator, false = np.random.default_rng(4), 0
    names = [str(place // 3) for place in range(21)]
    for _ in range(400):
        x, y = (generator.normal(size=7).repeat(3) + 0.1 * generator.normal(size=21) for _ in range(2))
        found = clustered_rho(x, y, names)
        assert found.low is not None and found.high is not None
        false += not found.low <= 0 <= found.high
    assert false / 400 <= 0.07


def test_with_few_arms_rho_has_no_interval() -> None:
    few = FEWEST_ARMS - 1
    found = clustered_rho(list(range(2 * few)), list(range(2 * few)), [str(place // 2) for place in range(2 * few)])
    assert found.value == pytest.approx(1) and found.low is None
    assert clustered_rho([1, 2, float("nan")], [1, 2, 3], ["a", "a", "b"]).value is None


def test_a_change_is_paired_by_run() -> None:
    generator = np.random.default_rng(2)
    runs = generator.normal(0, 0.3, (5, 1))
    before, after = (runs + shift + generator.normal(0, 0.1, (5, 80)) for shift in (0.0, 0.2))
    paired, apart = method_change(before, after), method_contrast(before, after)
    assert paired.difference == pytest.approx(apart.difference) and paired.first == pytest.approx(apart.first)
    assert paired.resolved and not apart.resolved
    with pytest.raises(ValueError, match="same runs"):
        method_change(before, after[:4])


def test_limits_of_a_share_stay_between_none_and_all() -> None:
    low, high = share_limits(0.97, 0.93, 1.01)
    assert 0 < low < 0.93 and 0.97 < high < 1
    assert share_limits(0.5, 0.499, 0.501) == pytest.approx((0.499, 0.501), abs=1e-6)
    assert share_limits(1.0, 1.0, 1.0) == (1.0, 1.0)


def test_limits_of_a_share_do_not_run_away_where_seeds_differ_at_the_edge() -> None:
    right = np.ones((3, 300))
    right[2, :5] = 0
    found = method_mean(right)
    low, high = share_limits(found.second, found.low, found.high)
    assert found.second - low == pytest.approx(3 * (found.second - found.low)) and found.second < high < 1
    mirrored = share_limits(1 - found.second, 1 - found.high, 1 - found.low)
    assert mirrored == pytest.approx((1 - high, 1 - low))


def test_changes_cover_the_truth() -> None:
    generator = np.random.default_rng(3)
    held = 0
    for _ in range(300):
        runs, moved = generator.normal(0, 0.3, (3, 1)), generator.normal(0.2, 0.05, (3, 1))
        problems = generator.normal(0, 0.2, (1, 100))
        before = runs + generator.normal(0, 0.3, (3, 100))
        found = method_change(before, runs + moved + problems + generator.normal(0, 0.3, (3, 100)))
        assert found.low is not None and found.high is not None
        held += found.low <= 0.2 <= found.high
    assert 0.92 <= held / 300 <= 0.99
