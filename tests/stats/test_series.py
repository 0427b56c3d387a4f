"""Rank correlation of two series along a run: scipy's value, and intervals that know of neighbours."""

import numpy as np
import pytest
from scipy.signal import lfilter
from scipy.stats import spearmanr

from warmrl.stats.series import rank_correlation


def test_the_value_is_spearmans() -> None:
    draw = np.random.default_rng(0)
    x = draw.integers(5, size=60).astype(float)  # with ties
    y = x + draw.normal(size=60)
    assert rank_correlation(x, y).value == pytest.approx(spearmanr(x, y).statistic, abs=1e-12)


def test_what_says_nothing() -> None:
    assert rank_correlation(range(9), range(9)).value is None
    assert rank_correlation([1.0] * 20, range(20)).value is None
    found = rank_correlation([*range(20), float("nan")], [*range(20), 3.0])
    assert (found.value, found.n) == (1.0, 20)


def test_unrelated_series_of_neighbours_that_are_alike() -> None:
    """Of series with memory, drawing single steps would be sure too often; blocks are less so."""
    missed = 0
    for seed in range(100):
        noise = np.random.default_rng(seed).normal(size=(2, 200))
        x, y = lfilter([1], [1, -0.6], noise)
        found = rank_correlation(x, y, draws=300, seed=seed)
        missed += not found.low <= 0 <= found.high
    assert missed <= 18
