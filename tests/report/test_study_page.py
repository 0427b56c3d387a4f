"""The page of a study: alone in its file, the answer first, claims told apart, figures of what was measured, safe."""

import copy
import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.report.simulated_study import ARMS, Simulation
from warmrl.report.html import render
from warmrl.report.study import build
from warmrl.report.study_costs import large
from warmrl.report.study_looks import SHAPES, appearances

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>`|**b**\u2028{{ 7 * 7 }}"
CHROMIUM = shutil.which("chromium")
SMALL = {
    "arms": {name: ARMS[name] for name in ("sft", "opd", "none")},
    "suites": {"validation": (0.0, 30), "charts": (0.8, 20)},
    "samples": 4,
    "points": 3,
    "draws": 50,
}
WORDS = frozenset({
    "study", "base", "entry", "end", "change", "warm", "outcome", "share", "nats", "count", "tokens", "in", "out",
    "entropy", "matched", "declared", "accepted", "unexplained", "finished", "failed", "methods", "checkpoints",
})  # fmt: skip
"""What is no free text in a report: kinds, points, units, states."""


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    report = build(Simulation(**SMALL, failed=[("none", 2)]).known())
    again = {"path": "stage.warm.data", "arms": {"sft": "warmup", "opd": None, "none": "warmup"}}
    report["fairness"] += [{**again, "status": "unexplained", "reason": None}]
    report["regime"]["flags"] = [
        {"sentence": "opd, seed 1: entropy fell to 3 % of the base's.", "arm": "opd", "seed": 1, "part": "outcome"}
    ]
    return report


@pytest.fixture
def report(made: dict[str, Any]) -> dict[str, Any]:
    return copy.deepcopy(made)


def poisoned(value: Any) -> Any:
    """The same report with hostile text after every free text, keys that are names too."""
    if isinstance(value, str):
        return value if value in WORDS or re.fullmatch(r"pass@\d+|diversity@\d+", value) else value + HOSTILE
    if isinstance(value, Mapping):
        names = {"sft", "opd", "none", "device", "python", "torch"}
        return {key + HOSTILE if key in names else key: poisoned(item) for key, item in value.items()}
    return [poisoned(item) for item in value] if isinstance(value, list) else value


def own(page: str) -> str:
    """The page without plotly's own script."""
    start = page.index('<script type="text/plain" id="plotly">')
    return page[:start] + page[page.index("</script>", start) :]


def figures(page: str) -> dict[str, dict[str, Any]]:
    found = re.findall(r'<script type="application/json" id="figures[a-z-]*">(.*?)</script>', page, re.S)
    assert len(found) == 2 and not any("<" in block for block in found)
    return {figure["id"]: figure for block in found for figure in json.loads(block)}


def traces(page: str, figure: str, name: str) -> list[dict[str, Any]]:
    return [trace for trace in figures(page)[figure]["data"] if trace["name"] == name and "customdata" in trace]


def test_the_page_stands_alone_and_holds_every_part(report: dict[str, Any]) -> None:
    page = render(report)
    assert len(page.encode()) <= 6_000_000
    assert not re.findall(r'(?:src|href)="(?!data:,")', own(page))
    assert "script-src 'unsafe-inline';" in page
    assert re.findall(r"<h2[^>]*>([^<]+)</h2>", page) == [
        "1 of 9 runs did not finish",
        "Base, RL entry, end",
        "Claims about methods",
        "Claims about checkpoints",
        "The entropy regime",
        "Reward and length in Stage 2",
        "Several samples: pass@k",
        "In domain and out of it",
        "Budget",
        "Time",
        "Fairness: what differs between arms",
        "Findings on the way",
        "How the answers were sampled",
        "How to reproduce every number",
    ]
    ids = re.findall(r'\bid="([^"]+)"', own(page))
    assert len(ids) == len(set(ids))
    captions = re.findall(r"<table[^>]*>\s*<caption><span>(.*?)</span></caption>", own(page), re.S)
    assert len(captions) == own(page).count("<table") > 15


def test_claims_about_methods_and_checkpoints_stand_apart(report: dict[str, Any]) -> None:
    page = own(render(report))
    parts = dict(re.findall(r'<section aria-labelledby="(methods|checkpoints)">(.*?)</section>', page, re.S))
    for name, claim in (("methods", "Method claim"), ("checkpoints", "Checkpoint claim")):
        captions = re.findall(r"<caption><span>(.*?)</span></caption>", parts[name], re.S)
        assert captions and all(one.startswith(claim) for one in captions)
    assert report["methods"]["refused"][0].split(";")[0] in parts["methods"]
    lead = re.search(r'<p class="lead">(.*?)</p>', page)
    answers = {item["text"]: item for item in report["answers"]}
    text = lead[1].replace("\u00a0", " ").replace("&#39;", "'") if lead else ""
    assert answers[text]["claim"] == "methods" and answers[text]["resolved"] is not None
    assert "better" not in page


def test_one_seed_says_nothing_of_methods() -> None:
    page = own(render(build(Simulation(**SMALL, seeds=(1,)).known())))
    assert "one run: no between-run interval" in page
    methods = re.search(r'<section aria-labelledby="methods">(.*?)</section>', page, re.S)
    assert methods and "<table" not in methods[1] and "Nothing is said of" in methods[1]


def test_figures_are_of_what_was_measured(report: dict[str, Any]) -> None:
    page = render(report)
    rows = [row for row in report["regime"]["curves"] if row["arm"] == "opd" and row["part"] == "outcome"]
    warm = [row for row in report["regime"]["curves"] if row["arm"] == "opd" and row["part"] == "warm"]
    (drawn,) = (trace for trace in traces(page, "figure-entropy-outcome", "opd") if len(trace["x"]) > 1)
    assert rows[0] == {**warm[-1], "stage": "rl", "part": "outcome", "step": 0, "share": 0.0}, "what is handed on"
    assert drawn["x"] == [row["step"] for row in rows] and rows[1]["step"] > 0
    assert drawn["y"] == pytest.approx([row["value"] for row in rows])
    highs = [row["over_seeds"]["high"] - row["value"] for row in rows]
    assert drawn["error_y"]["array"] == pytest.approx(highs), "bars are over seeds, bands over problems"
    bands = [trace for trace in figures(page)["figure-entropy-outcome"]["data"] if trace.get("fill") == "toself"]
    (band,) = (trace for trace in bands if trace["name"] == "opd")
    assert band["y"][: len(rows)] == pytest.approx([row["over_problems"]["high"] for row in rows])
    mean = next(one for one in report["transfer"] if (one["arm"], one["seed"]) == ("opd", None))
    arrows = [trace for trace in traces(page, "figure-transfer", "opd") if len(trace["x"]) == 2]
    ends = [100 * mean[when]["in"] for when in ("from", "to")]
    assert any(trace["x"] == pytest.approx(ends) for trace in arrows)
    (curve,) = (one for one in report["curves"] if (one["arm"], one["point"], one["suite"]) == ("sft", "end", "charts"))
    (drawn,) = traces(page, "figure-pass-1-end", "sft")
    assert drawn["y"] == pytest.approx([100 * value for value in curve["value"]])


@pytest.mark.parametrize(("ends", "marked"), [(60, True), (180, False), (None, False)])
def test_the_end_of_a_separation_is_marked(report: dict[str, Any], ends: int | None, marked: bool) -> None:
    found = next(one for one in report["regime"]["separation"] if one["to"] == "opd")
    found["ends"] = ends
    page = render(report)
    drawn = figures(page)[f"figure-separation-{report['regime']['separation'].index(found)}"]
    assert bool(drawn["layout"]["shapes"]) == marked
    rings = [trace for trace in traces(page, "figure-entropy-outcome", "opd") if trace["mode"] == "markers"]
    assert [trace["x"] for trace in rings] == ([[60]] if marked else [])


def test_budget_is_relative_to_the_control(report: dict[str, Any]) -> None:
    warm, outcome = figures(render(report))["figure-budget-prompts"]["data"]
    arms = [arm["name"] for arm in report["arms"]]
    control = arms.index(report["control"])
    assert warm["x"][control] + outcome["x"][control] == pytest.approx(1)
    assert warm["x"][arms.index("none")] == 0
    for row in report["budget"]["rows"]:
        if row["arm"] == "opd":
            row["prompts"] = None
    page = render(report)
    assert figures(page)["figure-budget-prompts"]["data"][0]["x"][arms.index("opd")] is None
    assert "not counted" in page
    assert [large(value) for value in (None, 0, 999, 51_200, 1.84e12)] == [
        "not counted",
        "0",
        "999",
        "51.2 k",
        "1.84 T",
    ]


def test_only_what_is_marked_holds_clocks(report: dict[str, Any]) -> None:
    slower = copy.deepcopy(report)
    for row in slower["timings"]["rows"]:
        row["seconds"] *= 3.7
    slower["timings"]["estimates"][0]["measured"] = 12.0
    pages = [render(one) for one in (report, slower)]
    assert pages[0] != pages[1]
    cut = [re.sub(r"<!-- timings -->.*?<!-- /timings -->", "", page, flags=re.S) for page in pages]
    assert cut[0] == cut[1]


def test_arms_are_told_apart_by_colour_and_by_symbol(report: dict[str, Any]) -> None:
    arms = [{**report["arms"][0], "name": f"arm {place}"} for place in range(8)]
    looks = [look for arm, look in appearances({**report, "arms": arms}).items() if arm is not None]
    assert len({look["color"] for look in looks}) == len({look["symbol"] for look in looks}) == 8
    assert {look["symbol"] for look in looks} == set(SHAPES)


def test_a_browser_may_load_its_files(report: dict[str, Any]) -> None:
    report["browser"] = {"folder": "browser", "chunks": 1, "problems": 50}
    page = render(report)
    assert "script-src 'unsafe-inline' 'self' file:;" in page and 'data-folder="browser"' in page


def test_hostile_text_stays_text(report: dict[str, Any]) -> None:
    page = own(render(poisoned(report)))
    assert page.count("alert(1)") > 200
    assert "<script>alert" not in page and "<img" not in page and "49" not in re.findall(r"\*\*b\*\*.(\S+)", page)
    for figure in figures(page).values():
        said = [text for trace in figure["data"] for row in trace.get("customdata", ()) for text in row]
        assert not any("<img" in str(text) for text in said)
        assert not any("<" in str(trace["name"]) for trace in figure["data"])
        assert "<" not in json.dumps(figure["layout"])


def test_a_study_that_has_hardly_begun_renders() -> None:
    known = Simulation(**SMALL, seeds=(1,), failed=[(arm, 1) for arm in SMALL["arms"]]).known()
    page = own(render(build(known)))
    assert "3 of 3 runs did not finish" in page


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium to open the page with")
def test_chromium_draws_every_figure_without_a_complaint(report: dict[str, Any], tmp_path: Path) -> None:
    page = render(poisoned(report))
    (tmp_path / "report.html").write_text(page, "utf-8", "backslashreplace")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=8000", "--enable-logging=stderr"]
    command = [str(CHROMIUM), *flags, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom"]
    command.append((tmp_path / "report.html").as_uri())
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "CONSOLE" not in done.stderr
    drawn = re.findall(r'class="plot[^"]*js-plotly-plot" id="(figure-[^"]+)"', done.stdout)
    assert sorted(drawn) == sorted(figures(own(page)))
    assert done.stdout.count('class="xtitle"') == len(drawn)
