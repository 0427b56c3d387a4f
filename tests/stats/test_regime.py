"""Collapse and explosion: closed forms of the ratio and its interval, and flags that noise alone does not raise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from warmrl.stats.regime import Relative, relatives
from warmrl.stats.suites import Score

IDS = [f"p{i:03}" for i in range(100)]
RNG = np.random.default_rng(3)
BASE = RNG.gamma(4, 0.15, 100)
TOKENS = RNG.integers(20, 60, 100).astype(float)


def beside(values: Any, weights: Any = TOKENS, **how: Any) -> Relative:
    scores = {"base": Score(BASE, TOKENS), "rl": Score(values, weights)}
    return relatives(IDS, scores, [("base", "rl")], **{"draws": 2000, **how})["base", "rl"]


def test_a_ratio_that_every_problem_shares_is_certain() -> None:
    found = beside(0.25 * BASE)
    assert found.base == pytest.approx(np.average(BASE, weights=TOKENS)) and found.n == 100
    assert (found.ratio, found.low, found.high) == pytest.approx((0.25, 0.25, 0.25))
    assert found.flag() == "collapse" and beside(3 * BASE).flag() == "explosion" and beside(BASE).flag() is None


def test_thresholds_are_of_the_ratio_and_strict() -> None:
    exact = Relative(1.0, 2.0, 0.5, 0.5, 0.5, 10)
    assert exact.flag() is None and exact.flag(collapse=0.51) == "collapse"
    assert Relative(1.0, 2.5, 0.4, 0.3, 0.55, 10).flag() is None, "the interval goes past the threshold"
    assert Relative(3.0, 1.0, 3.0, 1.9, 4.0, 10).flag() is None
    assert Relative(3.0, 1.0, 3.0, 2.1, 4.0, 10).flag() == "explosion"


@pytest.mark.parametrize("true", [0.5, 2.0])
def test_at_the_threshold_one_in_forty_is_flagged(true: float) -> None:
    """The interval covers the truth in 95 %, so at the threshold itself 2.5 % are called, and never the other way."""
    rng, flags = np.random.default_rng(11), list[str | None]()
    for seed in range(300):
        difficulty = rng.gamma(4, 0.15, 100)
        values = [np.clip(difficulty * m + rng.normal(0, 0.08, 100), 0.001, None) for m in (1.0, true)]
        scores = {"base": Score(values[0]), "rl": Score(values[1])}
        flags.append(relatives(IDS, scores, [("base", "rl")], draws=400, seed=seed)["base", "rl"].flag())
    wanted = "collapse" if true < 1 else "explosion"
    assert set(flags) <= {None, wanted}
    assert sum(flag is not None for flag in flags) / len(flags) < 0.06


def test_pairing_by_problem_narrows_it_and_clusters_widen_it() -> None:
    values = 0.4 * BASE + RNG.normal(0, 0.01, 100)
    widths = {
        "paired": beside(values),
        "shuffled": beside(values[::-1]),
        "clustered": beside(values, clusters=[i // 10 for i in range(100)]),
    }
    width = {name: one.high - one.low for name, one in widths.items() if one.high is not None and one.low is not None}
    assert 3 * width["paired"] < width["shuffled"] and widths["clustered"].n == 10


def test_the_order_of_problems_does_not_matter() -> None:
    order = RNG.permutation(100)
    scores = {"base": Score(BASE, TOKENS), "rl": Score(0.45 * BASE + 0.01 * TOKENS / 60, TOKENS)}
    moved = {name: Score(np.asarray(one.values)[order], np.asarray(one.weights)[order]) for name, one in scores.items()}
    one = relatives(IDS, scores, [("base", "rl")], draws=500)
    assert one == relatives([IDS[i] for i in order], moved, [("base", "rl")], draws=500)


def test_where_nothing_can_be_said_nothing_is_flagged() -> None:
    alone = [0.01, *[None] * 99]
    assert beside(alone).ratio is not None and beside(alone).low is None and beside(alone).flag() is None
    nobody = beside([None] * 100)
    assert nobody == Relative(None, None, None, None, None, 0) and nobody.flag() is None
    zero = relatives(IDS, {"base": Score([0.0] * 100), "rl": Score(BASE)}, [("base", "rl")], draws=200)["base", "rl"]
    assert zero.base == 0 and zero.ratio is None and zero.flag() is None
    with pytest.raises(ValueError, match="without scores: warm"):
        relatives(IDS, {"base": Score(BASE)}, [("base", "warm")])
