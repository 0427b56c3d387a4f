"""What not every run has: the Generalization Factor, counters, funnels; in numbers, on the page and in Markdown."""

import copy
from typing import Any

import pytest

from warmrl.report.along import along
from warmrl.report.build import build
from warmrl.report.figures import figures
from warmrl.report.html import render
from warmrl.report.markdown import render as markdown
from warmrl.stats.generalization import generalization_factor

TABLE = {
    "in_domain": "geometry3k", "out_of_domain": {"mathvista": 1.0}, "metric": "accuracy", "beta": 2.0, "form": "gains",
}  # fmt: skip


@pytest.fixture
def asked(run: dict[str, Any]) -> dict[str, Any]:
    run = copy.deepcopy(run)
    suites = list(dict.fromkeys(e["suite"] for e in run["evaluations"]))
    table = {**TABLE, "in_domain": suites[0], "out_of_domain": {suites[1]: 1.0}}
    recipe = {**run["recipe"], "reward": {"math": {"weight": 0.9}, "reflection": {"weight": 0}}}
    return {**run, "recipe": {**recipe, "eval": {**run["recipe"].get("eval", {}), "generalization": table}}}


def points(report: dict[str, Any]) -> list[dict[str, Any]]:
    return report["generalization"]["points"]


def test_the_factor_is_of_the_gains_over_the_base(asked: dict[str, Any]) -> None:
    report = build(asked)
    scores = {(e["checkpoint"], e["suite"]): e["value"] for e in report["endpoints"] if e["metric"] == "accuracy"}
    inside, outside = report["suites"]
    assert {point["baseline"] for point in points(report)} == {"base"}
    for point in points(report):
        gains = [scores[point["checkpoint"], suite] - scores[point["baseline"], suite] for suite in (inside, outside)]
        assert [point["in_domain"], point["out_of_domain"]] == pytest.approx(gains, abs=1e-5)
        assert point["value"] == pytest.approx(float(generalization_factor(*gains)), abs=1e-5)
        assert point["clamped"] == (min(gains) <= 0)
        assert point["low"] <= point["value"] <= point["high"]
    (table,) = [one for one in along(report) if one["title"] == "Generalization Factor"]
    assert len(table["rows"]) == len(points(report))


def test_raw_scores_have_no_baseline(asked: dict[str, Any]) -> None:
    asked["recipe"]["eval"]["generalization"]["form"] = "raw"
    assert {point["baseline"] for point in points(build(asked))} == {None}


def test_a_base_that_is_not_evaluated_is_said(asked: dict[str, Any]) -> None:
    asked["evaluations"] = [e for e in asked["evaluations"] if e["checkpoint"] != "base"]
    report = build(asked)
    assert any("No Generalization Factor: " in one and "eval.at" in one for one in report["findings"])
    assert points(report) == []
    assert build({**asked, "evaluations": []})["generalization"] == {}


def test_counters_and_funnels_are_shown(asked: dict[str, Any]) -> None:
    dropped = {"wrong": 30, "<b>no tags</b>": 10}
    asked["stages"][0]["funnel"] = [{"step": "right", "taken": 100, "kept": 60, "dropped": dropped}]
    for stage in asked["stages"]:
        for index, row in enumerate(stage["rows"]):
            row["reward/math"] = index / len(stage["rows"])
            row["reward/reflection"] = 1 - index / len(stage["rows"])
    report = build(asked)
    trained = [stage for stage in asked["stages"] if stage["rows"]]
    assert [row["value"] for row in report["counters"]] == [-1.0] * len(trained)
    titles = [one["title"] for one in along(report)]
    assert titles[0] == "Generalization Factor"
    assert titles[1] == "Counters"
    assert titles[2].startswith("Funnel of ")
    drawn = {figure["id"] for figure in figures(report)}
    assert {"figure-generalization", "figure-reward-reflection"} <= drawn
    page, text = render(report), markdown(report)
    assert "30 wrong, 10 &lt;b&gt;no tags" in page
    assert "30 wrong, 10" in text
    assert "<b>no tags" not in page


def test_a_run_that_asks_for_none_has_none(run: dict[str, Any]) -> None:
    assert along(build(run)) == []
