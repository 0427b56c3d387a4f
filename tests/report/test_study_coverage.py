"""Planted differences, with fewer studies than `python -m bench.study_coverage`, through the report's own functions."""

from dataclasses import replace

import pytest
from report.simulated_study import Simulation

from bench import study_coverage as figure
from warmrl.stats import crossed

PLANTED = Simulation(suites={"validation": (0.0, 100)}, arms={name: figure.NULL[name] for name in ("sft", "opd")})


def share(found: figure.Rates) -> float:
    """Of all together."""
    return sum(map(sum, found.values())) / sum(map(len, found.values()))


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [3, 5])
def test_the_truth_is_covered(seeds: int) -> None:
    found = figure.covered(replace(PLANTED, seeds=range(seeds)), 60)
    for kind in ("contrast", "change", "mean"):
        assert 0.92 <= share({name: each for name, each in found.items() if name.startswith(kind)}) <= 0.98


@pytest.mark.slow
def test_no_family_holds_more_false_claims_than_it_may() -> None:
    found = figure.false_claims(replace(PLANTED, arms=figure.NULL), 40)
    assert share(found) <= 0.05


def test_intervals_over_problems_alone_do_not_cover_the_truth(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = crossed.crossed_parts
    monkeypatch.setattr(crossed, "crossed_parts", lambda arms: replace(honest(arms), between=0.0))
    found = figure.covered(replace(PLANTED, between=(0.4, 0.06)), 12)
    assert share(found) < 0.85
