"""The numbers of a report: endpoints, contrasts, curves, the axis of steps, and what is refused or left out."""

import json
import math
import re
from typing import Any

import numpy as np
import pytest

from warmrl.report.build import build
from warmrl.report.checkpoints import Track
from warmrl.report.html import render
from warmrl.report.markdown import render as render_markdown
from warmrl.stats.contrasts import NOT_RESOLVABLE, contrast, holm
from warmrl.stats.intervals import interval

DIRECTION = re.compile(r"\b(better|worse|rose|fell|improved|worsened|gained|lost|up|down)\b")


def row(report: dict[str, Any], table: str, **wanted: Any) -> dict[str, Any]:
    return next(found for found in report[table] if all(found[key] == value for key, value in wanted.items()))


def test_endpoints_are_the_intervals_of_the_statistics(run: dict[str, Any]) -> None:
    found = row(build(run), "endpoints", checkpoint="warm", suite="validation", metric="entropy")
    given = next(e for e in run["evaluations"] if e["checkpoint"] == "warm")["metrics"]["entropy"]
    expected = interval(given["values"], given["weights"], draws=1000)
    for key in ("value", "low", "high"):
        assert found[key] == pytest.approx(getattr(expected, key), rel=1e-5)
    assert found["value"] == pytest.approx(np.average(given["values"], weights=given["weights"]), rel=1e-5)


def test_contrasts_are_paired_between_base_entry_and_end(run: dict[str, Any]) -> None:
    report = build(run)
    assert report["roles"] == {"base": "base", "entry": "warm", "end": "rl"}
    sides = {(c["pair"], c["from"], c["to"]) for c in report["contrasts"]}
    assert sides == {
        ("base to end", "base", "rl"),
        ("base to RL entry", "base", "warm"),
        ("RL entry to end", "warm", "rl"),
    }
    found = row(report, "contrasts", pair="RL entry to end", suite="validation", metric="accuracy")
    sides = {e["checkpoint"]: e["metrics"]["accuracy"]["values"] for e in run["evaluations"][:4]}
    expected = contrast(sides["warm"], sides["rl"], draws=1000)
    for key in ("difference", "low", "high", "p", "mcnemar", "mde"):
        assert found[key] == pytest.approx(getattr(expected, key), rel=1e-5)


def test_the_order_of_problems_does_not_matter_to_the_pairs(run: dict[str, Any]) -> None:
    before = row(build(run), "contrasts", pair="base to end", suite="validation", metric="accuracy")
    end = run["evaluations"][3]
    assert end["checkpoint"] == "rl"
    end["problems"].reverse()
    for metric in end["metrics"].values():
        metric["values"].reverse()
        metric["weights"].reverse()
    assert row(build(run), "contrasts", pair="base to end", suite="validation", metric="accuracy") == before


def test_the_curve_runs_to_the_fewest_samples(run: dict[str, Any]) -> None:
    run["evaluations"][0]["n"][5] = 12
    run["evaluations"][0]["right"][5] = 3
    report = build(run)
    assert row(report, "curves", checkpoint="base", suite="validation")["k"] == [1, 2, 4, 8, 12]
    curve = row(report, "curves", checkpoint="rl", suite="validation")
    assert curve["k"] == [1, 2, 4, 8, 16]
    assert curve["value"] == sorted(curve["value"])
    endpoint = row(report, "endpoints", checkpoint="rl", suite="validation", metric="pass@1")
    assert (curve["value"][0], curve["low"][0]) == (endpoint["value"], endpoint["low"])


def test_every_step_has_a_place_on_one_axis(run: dict[str, Any]) -> None:
    report = build(run)
    assert [(c["name"], c["x"]) for c in report["checkpoints"]] == [
        ("base", 0),
        ("warm", 80),
        ("rl@60", 140),
        ("rl", 260),
    ]
    assert [point["x"] for point in report["training"]] == list(range(1, 261))


def stage(name: str, kind: str, policy: str, steps: int) -> dict[str, Any]:
    return {"name": name, "kind": kind, "policy": policy, "steps": steps}


def test_a_track_follows_policies_and_not_the_order_of_stages() -> None:
    traces = stage("traces", "curator", "base", 0)
    warm, rl = stage("warm", "warm start", "base", 50), stage("rl", "RL algorithm", "warm@40", 100)
    track = Track([traces, warm, rl])
    assert (track.position("rl", 10), track.position("rl", None), track.start("traces")) == (50, 140, 0)
    assert track.roles() == {"base": "base", "entry": "warm@40", "end": "rl"}
    assert Track([stage("rl", "RL algorithm", "base", 9)]).roles() == {"base": "base", "end": "rl"}
    assert Track([warm]).roles() == {"base": "base", "end": "warm"}
    assert Track([traces]).roles() == {"base": "base"}
    assert Track([stage("rl", "RL algorithm", "base", 9)]).pairs() == {"base to end": ((0, "base"), (9, "rl"))}


def test_the_end_of_another_runs_stage_is_a_place_to_start_from() -> None:
    track = Track([stage("rl", "RL algorithm", "runs/x#warm@end", 5)])
    assert track.position("rl", None) == 5


def test_the_same_run_gives_the_same_report(run: dict[str, Any]) -> None:
    assert json.dumps(build(run)) == json.dumps(build(json.loads(json.dumps(run))))


def test_numbers_are_finite_and_short(run: dict[str, Any]) -> None:
    run["stages"][0]["rows"][3]["loss"] = math.nan
    run["stages"][0]["rows"][4]["grad_norm"] = math.inf
    run["environment"]["load"] = math.nan
    run["evaluations"][0]["metrics"]["entropy"]["values"] = [None] * 300
    report = build(run)
    text = json.dumps(report, allow_nan=False)
    assert report["training"][3]["loss"] is None
    assert row(report, "endpoints", checkpoint="base", suite="validation", metric="entropy")["value"] is None
    assert row(report, "contrasts", pair="base to end", suite="validation", metric="entropy")["words"] == (
        "no problem in common"
    )
    assert max(len(number.replace(".", "")) for number in re.findall(r"0\.(\d+)", text)) <= 12


def test_no_direction_is_claimed_where_the_interval_crosses_zero(run: dict[str, Any]) -> None:
    report = build(run)
    rows = {(c["suite"], c["metric"]): c for c in report["contrasts"] if c["pair"] == "base to end"}
    assert any(c["low"] < 0 < c["high"] for c in rows.values())
    for item in report["answer"]:
        contrasted = rows[item["suite"], item["metric"]]
        if contrasted["low"] <= 0 <= contrasted["high"] or abs(contrasted["difference"]) < contrasted["mde"]:
            assert not item["resolved"] and item["good"] is None
            assert not DIRECTION.search(item["text"] + item["brief"])
            assert contrasted["words"] == NOT_RESOLVABLE
        else:
            assert re.search("rose|fell", item["text"])
    assert "better" not in json.dumps(report["answer"])


def test_the_claim_is_of_checkpoints(run: dict[str, Any]) -> None:
    assert build(run)["claim"] == "Checkpoint claim: intervals over problems; one run: no between-run interval."


def test_equal_checkpoints_are_called_equal(run: dict[str, Any]) -> None:
    one, two = run["evaluations"][0], run["evaluations"][3]
    two["metrics"]["accuracy"] = one["metrics"]["accuracy"]
    assert "the same on every problem" in build(run)["answer"][0]["text"]


def test_another_sampling_block_is_not_compared(run: dict[str, Any]) -> None:
    run["evaluations"][3]["settings"] = {**run["evaluations"][3]["settings"], "temperature": 0.6}
    report = build(run)
    pairs = {c["pair"] for c in report["contrasts"] if c["suite"] == "validation"}
    assert pairs == {"base to RL entry"}
    assert any(
        "`base` and `rl` on `validation` are not compared" in f and "temperature" in f for f in report["findings"]
    )
    assert len(report["sampling"]) == 2


def test_problems_that_one_side_lacks_are_said(run: dict[str, Any]) -> None:
    run["evaluations"][3]["problems"][0] = "another"
    report = build(run)
    assert any("299 problems that both have" in finding for finding in report["findings"])
    assert row(report, "contrasts", pair="base to end", suite="validation", metric="accuracy")["n"] == 299


@pytest.mark.parametrize("damage", ["twice", "short"])
def test_impossible_evaluations_are_refused(run: dict[str, Any], damage: str) -> None:
    evaluation = run["evaluations"][1]
    if damage == "twice":
        evaluation["problems"][7] = evaluation["problems"][8]
    else:
        evaluation["metrics"]["accuracy"]["values"].pop()
    with pytest.raises(ValueError, match=r"`warm` on `validation`.*(validation-0008|299 values)"):
        build(run)


def test_p_is_adjusted_over_the_pairs_of_a_suite_and_metric(run: dict[str, Any]) -> None:
    rows = [c for c in build(run)["contrasts"] if (c["suite"], c["metric"]) == ("charts", "pass@1")]
    assert [c["pair"] for c in rows] == ["base to end", "base to RL entry", "RL entry to end"]
    assert [c["adjusted"] for c in rows] == pytest.approx(holm([c["p"] for c in rows]), rel=1e-5)
    assert {c["family"] for c in rows} == {3}


def test_grading_and_overlap_stand_beside_the_scores(run: dict[str, Any]) -> None:
    first, second = run["evaluations"][0], run["evaluations"][3]
    graders = {"first": "math", "second": "geo3k_easyr1", "disagreement": 0.0125, "differing": 60, "compared": 4800}
    first["graders"] = {**graders, "second_score": 0.31}
    first["counts"] = {"samples": 4800, "truncated": 96, "no_answer": 48, "timed_out": 0}
    seen = first["problems"][:30]
    second["overlap"] = {"trained_on": ["train"], "text": 30, "ngram": 0, "image": 0, "problems": seen}
    first["notes"] = second["notes"] = ["2 problems left out."]
    report = build(run)
    assert report["notes"] == ["validation, base, rl: 2 problems left out."]
    (graded,) = report["grading"]
    assert (graded["truncated"], graded["no_answer"], graded["disagreement"]) == (0.02, 0.01, 0.0125)
    scores = row(report, "overlap", checkpoint="base", suite="validation")["scores"]
    own = first["metrics"]["pass@1"]["values"]
    score = next(one for one in scores if one["metric"] == "pass@1")
    assert score["with"]["value"] == pytest.approx(np.mean(own), rel=1e-5)
    assert score["without"]["value"] == pytest.approx(np.mean(own[30:]), rel=1e-5)
    for text in (render(report), render_markdown(report)):
        assert re.search(r"geo3k\\?_easyr1 gives another verdict on 1.2 % of answers", text)
        assert "What training may have seen" in text


def test_a_run_without_evaluations_or_rl(run: dict[str, Any]) -> None:
    run["evaluations"] = []
    report = build(run)
    assert report["answer"] == report["endpoints"] == report["contrasts"] == []
    assert len(report["training"]) == 260
