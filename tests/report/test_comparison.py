"""The numbers of a comparison: intervals and paired contrasts, the declared family, methods, what is said of them."""

import json
from typing import Any

import numpy as np
import pytest

from bench.report_speed import measured
from bench.simulated_targets import comparison, evaluation, true_accuracy
from warmrl.domain.errors import UsageError
from warmrl.report.comparison import build, pairs
from warmrl.stats.contrasts import NOT_RESOLVABLE, contrast, holm
from warmrl.stats.crossed import method_contrast
from warmrl.stats.intervals import interval

SKILLS = {"base": -1.6, "sft": 0.3, "opd": 0.4}
SUITES = {"geometry": (0.0, 120), "charts": (0.5, 80)}


def given(**changes: Any) -> dict[str, Any]:
    return comparison(SKILLS, SUITES, draws=400) | changes


def arms(seeds: int = 3) -> dict[str, Any]:
    own = {arm: [f"{arm}/{seed}" for seed in range(1, seeds + 1)] for arm in ("sft", "opd")}
    skills = {label: {"sft": 0.0, "opd": 0.8}[arm] for arm, labels in own.items() for label in labels}
    return comparison(skills, {"geometry": (0.0, 120)}, arms=own, draws=400)


def rows(report: dict[str, Any], table: str, **wanted: Any) -> list[dict[str, Any]]:
    return [row for row in report[table] if all(row[key] == value for key, value in wanted.items())]


def values(report: dict[str, Any], target: str, suite: str, metric: str) -> dict[str, Any]:
    found = next(e for e in report["evaluations"] if (e["checkpoint"], e["suite"]) == (target, suite))
    return {"ids": found["problems"], **{key: found["metrics"][metric][key] for key in ("values", "weights")}}


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    return build(given())


def test_every_number_can_be_computed_again_from_the_report(report: dict[str, Any]) -> None:
    report = json.loads(json.dumps(report, allow_nan=False))
    how = {key: report["interval"][key] for key in ("level", "draws", "seed")}
    for row in rows(report, "endpoints", suite="charts"):
        own = values(report, row["checkpoint"], "charts", row["metric"])
        found = interval(own["values"], own["weights"], ids=own["ids"], **how)
        assert [row[key] for key in ("value", "low", "high")] == pytest.approx(
            [found.value, found.low, found.high], rel=1e-5
        )
    for row in rows(report, "contrasts", suite="charts", metric="entropy"):
        one, two = (values(report, row[side], "charts", "entropy") for side in ("from", "to"))
        found = contrast(one["values"], two["values"], one["weights"], two["weights"], ids=one["ids"], **how)
        for key in ("difference", "low", "high", "p", "mde"):
            assert row[key] == pytest.approx(getattr(found, key), rel=1e-5)


def test_p_is_adjusted_over_the_pairs_of_each_suite_and_metric(report: dict[str, Any]) -> None:
    for suite in SUITES:
        for metric in ("accuracy", "pass@16", "entropy"):
            family = rows(report, "contrasts", suite=suite, metric=metric)
            assert [(row["from"], row["to"]) for row in family] == [("base", "sft"), ("base", "opd"), ("sft", "opd")]
            assert [row["adjusted"] for row in family] == pytest.approx(holm([row["p"] for row in family]), rel=1e-5)
            for row in family:
                assert row["family"] == 3 and (row["words"] == NOT_RESOLVABLE) == (not row["resolved"])


def test_the_declared_family() -> None:
    labels, own = ["a", "b/1", "b/2", "c/1"], {"b": ["b/1", "b/2"], "c": ["c/1"]}
    assert pairs(labels, own, None) == [("a", "b/1"), ("a", "b/2"), ("a", "c/1"), ("b/1", "c/1"), ("b/2", "c/1")]
    assert pairs(labels, own, "a") == [("a", "b/1"), ("a", "b/2"), ("a", "c/1")]
    assert pairs(labels, own, "b") == [("b/1", "a"), ("b/1", "c/1"), ("b/2", "a"), ("b/2", "c/1")]
    with pytest.raises(UsageError, match=r"`x` is neither a target nor an arm.*`a`, `b/1`, `b/2`, `c/1`, `b`, `c`"):
        pairs(labels, own, "x")


def test_a_control_is_the_first_side_of_every_pair() -> None:
    report = build(given(control="sft"))
    assert {(row["from"], row["to"]) for row in report["contrasts"]} == {("sft", "base"), ("sft", "opd")}
    lead = report["answer"][0]["text"]
    assert "than sft" in lead and "told apart from sft" in lead


def test_the_order_of_problems_changes_nothing() -> None:
    other = given()
    for one in other["evaluations"][::2]:
        for column in (one["problems"], one["right"], one["n"], *(m["values"] for m in one["metrics"].values())):
            column.reverse()
        for metric in one["metrics"].values():
            if metric["weights"]:
                metric["weights"].reverse()
    before, after = build(given()), build(other)
    for table in ("endpoints", "contrasts", "curves", "answer"):
        assert after[table] == before[table]


def test_the_lead_says_what_can_be_told_apart(report: dict[str, Any]) -> None:
    lead = report["answer"][0]["text"]
    assert lead.startswith("On geometry, accuracy tells 2 of 3 pairs apart; the highest, ")
    assert "can't be told apart from" in lead and "problems resolve about" in lead
    stood = next(row for row in report["standings"] if (row["suite"], row["metric"]) == ("geometry", "accuracy"))
    assert (stood["resolved"], stood["pairs"]) == (2, 3) and stood["beside"] in (["sft"], ["opd"])


def test_two_targets_are_answered_as_one_pair() -> None:
    found = build(comparison({"base": -0.6, "mine": 0.6}, SUITES, draws=400))
    assert found["answer"][0]["text"].startswith("On geometry, accuracy is higher for mine (")
    assert [(item["suite"], item["metric"]) for item in found["answer"]] == [
        (row["suite"], row["metric"]) for row in found["contrasts"]
    ]


def test_methods_are_spoken_of_from_three_seeds_on() -> None:
    found = build(arms())
    assert found["answer"][0]["text"].startswith("On geometry, over 3 seeds each, accuracy is higher for opd")
    row = next(row for row in found["methods"]["contrasts"] if row["metric"] == "pass@1")
    sides = [
        [values(found, label, "geometry", "pass@1")["values"] for label in found["arms"][a]] for a in found["arms"]
    ]
    expected = method_contrast(*sides, ids=found["evaluations"][0]["problems"])
    assert [row[key] for key in ("difference", "low", "high", "mde")] == pytest.approx(
        [expected.difference, expected.low, expected.high, expected.mde], rel=1e-5
    )
    inside = {frozenset((f"{arm}/{one}", f"{arm}/{two}")) for arm in found["arms"] for one in "123" for two in "123"}
    assert not any(frozenset((row["from"], row["to"])) in inside for row in found["contrasts"])


def test_three_methods_are_all_pairs_or_against_the_control() -> None:
    own = {arm: [f"{arm}/{seed}" for seed in (1, 2, 3)] for arm in ("sft", "opd", "dpo")}
    skills = {label: {"sft": -1.0, "opd": 1.0, "dpo": 1.02}[arm] for arm, labels in own.items() for label in labels}
    every = build(comparison(skills, {"geometry": (0.0, 60)}, arms=own, draws=100))
    assert len({(row["from"], row["to"]) for row in every["methods"]["contrasts"]}) == 3
    assert every["answer"][0]["text"].startswith("On geometry, over 3 seeds each, accuracy tells 2 of 3 pairs apart")
    against = build(comparison(skills, {"geometry": (0.0, 60)}, arms=own, control="sft", draws=100))
    assert {(row["from"], row["to"]) for row in against["methods"]["contrasts"]} == {("sft", "opd"), ("sft", "dpo")}
    assert against["answer"][0]["text"] == (
        "On geometry, over 3 seeds each, by accuracy, opd and dpo are higher than sft."
    )


def test_below_three_seeds_nothing_is_said_of_methods(report: dict[str, Any]) -> None:
    found = build(arms(seeds=2))
    assert found["methods"]["contrasts"] == found["methods"]["endpoints"] == []
    assert found["methods"]["refused"] == [
        "Nothing is said of methods: a claim about a method takes 3 seeds or more of each arm; sft has 2, opd has 2."
    ]
    assert "these are single checkpoints" in report["methods"]["refused"][0]


def test_by_force_the_common_problems_are_compared() -> None:
    unlike = given(force=True)
    unlike["evaluations"][0]["problems"][:3] = ["x", "y", "z"]
    found = build(unlike)
    row = rows(found, "contrasts", suite="geometry", metric="pass@1")[0]
    assert (row["from"], row["to"], row["n"], row["missing"]) == ("base", "sft", 117, 6)
    assert len(found["relaxed"]) == 3 and "lacks 3 of 123 problems" in found["relaxed"][0]
    with pytest.raises(UsageError, match="lacks 3 of 123"):
        build(unlike | {"force": False})


def test_what_a_target_lacks_is_said() -> None:
    partial = given()
    partial["evaluations"] = [e for e in partial["evaluations"] if (e["checkpoint"], e["suite"]) != ("opd", "charts")]
    del partial["evaluations"][0]["metrics"]["accuracy"]
    found = build(partial)
    assert "`opd` was not evaluated on `charts`." in found["findings"]
    assert "`base` has no `accuracy` on `geometry`." in found["findings"]
    assert len(rows(found, "contrasts", suite="charts", metric="pass@1")) == 1


def test_the_score_without_what_training_saw() -> None:
    seen = given()
    base, sft = seen["evaluations"][0], seen["evaluations"][2]
    base["overlap"] = {"trained_on": ["train"], "text": 0, "ngram": 0, "image": 0, "problems": []}
    planted = sft["problems"][:10]
    sft["overlap"] = {"trained_on": ["train"], "text": 4, "ngram": 8, "image": 3, "problems": planted}
    found = rows(build(seen), "overlap", suite="geometry")
    assert [(row["checkpoint"], row["found"], row["left_out"]) for row in found] == [
        ("base", 0, 10),
        ("sft", 10, 10),
        ("opd", None, 10),
    ]
    score = next(one for one in found[1]["scores"] if one["metric"] == "pass@1")
    assert score["without"]["value"] == pytest.approx(np.mean(sft["metrics"]["pass@1"]["values"][10:]), rel=1e-5)
    assert score["with"]["value"] == pytest.approx(np.mean(sft["metrics"]["pass@1"]["values"]), rel=1e-5)


def test_problems_that_share_an_image_are_resampled_together() -> None:
    shared = given()
    for one in shared["evaluations"]:
        one["clusters"] = [f"image {place // 4}" for place in range(len(one["problems"]))]
    found = build(shared)
    row = rows(found, "endpoints", checkpoint="opd", suite="geometry", metric="pass@1")[0]
    assert row["n"] == 30 and "30 clusters of problems resolve about" in found["answer"][0]["text"]
    curve = rows(found, "curves", checkpoint="opd", suite="geometry")[0]
    assert (curve["value"][0], curve["low"][0]) == (row["value"], row["low"])


def test_planted_differences_are_found_and_covered() -> None:
    """Simulated targets of known truth: the interval covers it, the sign is right, a small one is called so."""
    truth = true_accuracy(0.7) - true_accuracy(0.0)
    covered = 0
    for seed in range(20):
        suites = {"s": (0.0, 150)}
        report = build(comparison({"one": 0.0, "two": 0.7, "like one": 0.02}, suites, draws=300, seed=seed))
        large, small, _ = rows(report, "contrasts", metric="pass@1")
        covered += large["low"] <= truth <= large["high"]
        assert large["resolved"] and large["difference"] > 0
        assert not small["resolved"] and small["words"] == NOT_RESOLVABLE
    assert covered >= 17, "of 20 intervals of 95 % more than three miss once in 60; these seeds are fixed"


def test_the_measured_workload_builds() -> None:
    assert measured(problems=30, targets=3, draws=100)["whole, s"] > 0


def test_an_evaluation_of_no_target_is_refused() -> None:
    stray = given()
    stray["evaluations"].append(evaluation("stranger", "geometry", 0.0, 0.5, problems=120))
    with pytest.raises(UsageError, match="`stranger` was evaluated but is no target"):
        build(stray)
