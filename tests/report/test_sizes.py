"""What a difference needs: held to the contrasts that the report has, and to sizes that are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from warmrl.report.comparison import build
from warmrl.report.sizes import sizes
from warmrl.stats.estimators import pass_at_k

N, K = 80, 8


def evaluation(label: str, right: np.ndarray, clusters: list[str] | None = None) -> dict[str, Any]:
    metrics = {
        f"pass@{k}": {
            "values": [pass_at_k(K, int(c), k) for c in right], "weights": [1.0] * N, "unit": "share",
            "higher_is_better": True,
        }
        for k in (1, 8)
    }  # fmt: skip
    return {
        "checkpoint": label, "suite": "s", "problems": [f"p{i:03d}" for i in range(N)], "clusters": clusters,
        "metrics": metrics, "right": [int(c) for c in right], "n": [K] * N, "settings": {"samples": K}, "revision": "1",
    }  # fmt: skip


def compared(runs: dict[str, np.ndarray], arms: dict[str, list[str]] | None = None, **more: Any) -> dict[str, Any]:
    return build({
        "name": "x", "targets": [{"label": one, "source": one, "arm": None, "seed": None} for one in runs],
        "arms": arms or {}, "evaluations": [evaluation(one, right, **more) for one, right in runs.items()],
        "settings": {"draws": 500},
    })  # fmt: skip


@pytest.fixture
def draws() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    chance = generator.beta(1, 1, N)
    arms = {"a": chance, "b": np.clip(chance + 0.08, 0, 1)}
    return {f"{name}{seed}": generator.binomial(K, arm) for name, arm in arms.items() for seed in "123"}


def test_what_can_be_shown_is_what_the_contrast_says(draws: dict[str, np.ndarray]) -> None:
    clusters = [f"image {i // 4}" for i in range(N)]
    report = compared({name: draws[name] for name in ("a1", "b1")}, clusters=clusters)
    rows = {one["metric"]: one for one in sizes(report)}
    for one in report["contrasts"]:  # where sampling alone makes more than there is, no less than it is promised
        assert rows[one["metric"]]["detectable"] == pytest.approx(one["mde"], rel=0.01)
    assert rows["pass@8"]["samples"] is None, "no mean of samples: more of them promise nothing"
    assert rows["pass@1"]["samples"] is not None


def test_the_size_that_is_named_shows_the_difference(draws: dict[str, np.ndarray]) -> None:
    report = compared({name: draws[name] for name in ("a1", "b1")})
    half = {one["metric"]: one["detectable"] / 2 for one in sizes(report)}
    needed = {one["metric"]: one["problems"] for one in sizes(report, half["pass@8"])}
    assert needed["pass@8"] == pytest.approx(4 * N, rel=0.02)


def test_methods_have_rows_of_their_own(draws: dict[str, np.ndarray]) -> None:
    rows = sizes(compared(draws, {"a": ["a1", "a2", "a3"], "b": ["b1", "b2", "b3"]}), 0.05)
    (one,) = (row for row in rows if row["claim"] == "methods" and row["metric"] == "pass@1")
    assert one["seeds"] is not None and one["now"]["seeds"] == (3, 3) and one["detectable"] > 0
