"""The probe in a run's report: places, the line through the figure, flags beside the base and RL entry."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

from warmrl.report.along import along
from warmrl.report.build import build
from warmrl.report.figures import figures
from warmrl.report.html import render
from warmrl.report.markdown import render as markdown

POINTS = {"base": 0, "warm@40": 40, "warm": 80, "rl@90": 90, "rl": 180}
NATS = {"base": 1.0, "warm@40": 0.8, "warm": 0.45, "rl@90": 0.3, "rl": 0.15}


def point(checkpoint: str, step: int, nats: float) -> dict[str, Any]:
    """A point with this entropy and hardly any noise."""
    values = nats * (1 + np.random.default_rng(step).normal(0, 0.05, 30)) * np.linspace(0.8, 1.2, 30)
    metric = {"values": values.tolist(), "weights": [10.0] * 30, "unit": "nats", "higher_is_better": None}
    right = {"values": [1.0] * 30, "weights": [1.0] * 30, "unit": "share", "higher_is_better": True}
    return {
        "checkpoint": checkpoint,
        "stage": checkpoint.partition("@")[0],
        "step": step,
        "suite": "held",
        "problems": [f"p{i}" for i in range(30)],
        "metrics": {"entropy": metric, "pass@1": right},
        "settings": {"temperature": 1.0, "samples": 4},
    }


def probed(run: dict[str, Any], nats: dict[str, float]) -> dict[str, Any]:
    """The report of the run with a probe of these entropies."""
    return build({**copy.deepcopy(run), "probe": [point(name, POINTS[name], h) for name, h in nats.items()]})


def test_a_run_without_a_probe_has_none(run: dict[str, Any]) -> None:
    report = build(run)
    assert report["probe"] == {} and along(report) == []
    assert not any("probe" in figure["caption"] for figure in figures(report))


def test_points_have_places_and_flags_name_their_reference(run: dict[str, Any]) -> None:
    report = probed(run, NATS)
    held = report["probe"]
    assert [(one["x"], one["role"]) for one in held["points"]] == [
        (0, "base"), (40, "along"), (80, "entry"), (170, "along"), (260, "end"),
    ]  # fmt: skip
    flags = {(one["checkpoint"], one["against"]): one["kind"] for one in held["flags"]}
    assert flags == dict.fromkeys([("warm", "base"), ("rl@90", "base"), ("rl", "base"), ("rl", "entry")], "collapse")
    sentences = [one for one in report["findings"] if one.startswith("Entropy collapse")]
    assert len(sentences) == 2 and "at `warm` against the base" in sentences[0] and "at 3 of 4 points" in sentences[0]
    assert "at `rl` against RL entry: 0.15" in sentences[1]
    (relative,) = (one["relative"]["entry"] for one in held["points"] if one["checkpoint"] == "rl")
    assert relative["ratio"] == pytest.approx(0.15 / 0.45, rel=0.05)


def test_a_warm_start_on_purpose_is_said_to_be_one(run: dict[str, Any]) -> None:
    report = probed(run, {**NATS, "rl@90": 0.45, "rl": 0.44})
    (found,) = (one for one in report["findings"] if one.startswith("Entropy collapse"))
    assert found.endswith("Against RL entry there is no collapse.")


def test_entropy_that_rises_explodes(run: dict[str, Any]) -> None:
    report = probed(run, {"base": 0.4, "warm": 0.5, "rl": 1.3})
    assert [(one["kind"], one["against"]) for one in report["probe"]["flags"]] == [
        ("explosion", "base"),
        ("explosion", "entry"),
    ]


def test_a_warm_start_that_trains_nothing_is_no_second_reference(run: dict[str, Any]) -> None:
    made = {**copy.deepcopy(run), "probe": [point("base", 0, 1.0), point("warm", 0, 1.0), point("rl", 180, 0.3)]}
    report = build(made)
    assert [one["against"] for one in report["probe"]["flags"]] == ["base"]


def test_page_markdown_and_figure_have_it(run: dict[str, Any]) -> None:
    report = probed(run, NATS)
    (table,) = along(report)
    assert [row[:3] for row in table["rows"]][2] == ["warm", "RL entry", "80"] and len(table["rows"]) == 5
    assert all(len(row) == len(table["heads"]) for row in table["rows"])
    assert table["rows"][-1][-1] == "collapse (base), collapse (entry)"
    page, text = render(report), markdown(report)
    assert "Joined points: the probe (held, the same 30 problems with 4 samples each" in page
    assert "collapse (base), collapse (entry)" in page and "collapse (base), collapse (entry)" in text
    (figure,) = (one for one in figures(report) if one["id"] == "figure-entropy")
    (line,) = (one for one in figure["data"] if one["name"] == "probe")
    assert line["x"] == [0, 40, 80, 170, 260] and line["y"] == pytest.approx(list(NATS.values()), rel=0.05)


def test_a_stage_off_the_way_and_steps_past_the_hand_off_are_lines_of_their_own(run: dict[str, Any]) -> None:
    made = copy.deepcopy(run)
    made["stages"][0]["handed_on"] = 40
    made["stages"].insert(0, {**made["stages"][0], "name": "zero", "policy": "base"})
    steps = {"base": 0, "zero": 80, "warm@40": 40, "warm@end": 80, "warm": 40, "rl": 180}
    made["probe"] = [point(name, step, 1.0) for name, step in steps.items()]
    report = build(made)
    assert {one["checkpoint"]: one["on_line"] for one in report["probe"]["points"]} == {
        name: name not in ("zero", "warm@end") for name in steps
    }
    (figure,) = (one for one in figures(report) if one["id"] == "figure-entropy")
    lines = {one["name"]: one["x"] for one in figure["data"] if one["name"].startswith("probe")}
    assert lines == {"probe": [0, 40, 220], "probe, zero": [80], "probe, warm": [80]}
