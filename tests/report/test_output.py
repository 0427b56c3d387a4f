"""The files of a report: deterministic, whole, self-contained, safe against hostile text, honest in words."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from warmrl.report import output
from warmrl.report.build import build
from warmrl.report.html import render
from warmrl.report.markdown import render as render_markdown
from warmrl.report.words import DASH, MINUS, change, count, duration, number, operations, probability, quantity, span

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>`|**b**\u2028{{ 7 * 7 }}"
CHROMIUM = shutil.which("chromium")


def own(page: str) -> str:
    """The page without plotly's own script."""
    start = page.index("<script>/**")
    return page[:start] + page[page.index("</script>", start) :]


def test_the_files_hold_the_same_numbers_and_the_same_bytes(run: dict[str, Any], tmp_path: Path) -> None:
    output.write(build(run), tmp_path / "one")
    output.write(build(json.loads(json.dumps(run))), tmp_path / "two")
    names = ["report.html", "report.json", "report.md"]
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == names
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    report = json.loads((tmp_path / "one" / "report.json").read_text())
    headline = report["answer"][0]["text"].replace(" to ", "\u00a0to\u00a0").replace(" %", "\u00a0%")
    assert headline in (tmp_path / "one" / "report.html").read_text()
    assert report["claim"] in (tmp_path / "one" / "report.md").read_text()


def test_the_page_stands_alone(run: dict[str, Any]) -> None:
    page = render(build(run))
    assert len(page.encode()) <= 6_000_000
    assert not re.findall(r'(?:src|href)="(?!data:,")', own(page))
    assert "default-src 'none'" in page
    assert "prefers-color-scheme: dark" in page and "@media print" in page
    assert page.startswith("<!DOCTYPE html>")


def test_a_written_report_is_replaced_whole(
    run: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = build(run)
    output.write(report, tmp_path)
    before = (tmp_path / "report.html").read_bytes()

    def full(_: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="no space"):
        output.write({**report, "name": "other"}, tmp_path)
    assert (tmp_path / "report.html").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 3


def poisoned(run: dict[str, Any]) -> dict[str, Any]:
    """Every free text of a run replaced by hostile text."""
    run["name"] = run["recipe"]["name"] = HOSTILE
    run["recipe"]["model"]["path"] = run["environment"]["device"] = HOSTILE
    run["findings"] = [HOSTILE]
    run["budget"] = {HOSTILE: HOSTILE}
    run["reproduce"] = [HOSTILE]
    for stage in run["stages"]:
        stage["use"] = stage["key"] = HOSTILE
    for evaluation in run["evaluations"]:
        evaluation["suite"] += HOSTILE
        evaluation["settings"] = {"backend": HOSTILE}
        evaluation["metrics"][HOSTILE] = evaluation["metrics"].pop("accuracy")
    return run


def test_hostile_text_stays_text(run: dict[str, Any]) -> None:
    report = build(poisoned(run))
    page = own(render(report))
    assert "alert(1)" in page
    assert "<script>alert" not in page and "<img" not in page and "49" not in re.findall(r"\*\*b\*\*.(\S+)", page)
    figures = re.search(r'<script type="application/json" id="figures">(.*?)</script>', page, re.S)
    assert figures and "<" not in figures[1]
    names = [trace["name"] for figure in json.loads(figures[1]) for trace in figure["data"]]
    assert any("alert" in name for name in names) and not any("<" in name for name in names)
    assert html.escape(HOSTILE, quote=False).split("`")[0] in page


def test_hostile_text_breaks_no_markdown(run: dict[str, Any]) -> None:
    text = render_markdown(build(poisoned(run)))
    outside = re.sub(r"^(`{3,})\n.*?^\1$", "", text, flags=re.M | re.S)
    assert "alert" in outside
    assert not re.search(r"(?<!\\)<", outside)
    took = outside[outside.index("| stage") :].partition("\n\n")[0]
    widths = [len(re.findall(r"(?<!\\)\|", line)) for line in took.splitlines()]
    assert set(widths) == {13} and "| warm |" in took


def test_better_is_never_said(run: dict[str, Any]) -> None:
    report = build(run)
    for text in (own(render(report)), render_markdown(report)):
        assert "better" not in re.sub(r"higher_is_better", "", text)
    unresolved = [row for row in report["contrasts"] if not row["resolved"]]
    assert unresolved
    cells = re.findall(r'class="words"><span class="(\w+)">([^<]*)</span>', render(report))
    assert len(cells) == len(report["contrasts"])
    for row, (kind, words) in zip(report["contrasts"], cells, strict=True):
        assert (kind == "open") == (not row["resolved"])
        assert row["resolved"] or words == "not resolvable at this size"


def test_a_bare_run_renders(run: dict[str, Any]) -> None:
    run["evaluations"], run["findings"], run["budget"] = [], [], {}
    run["stages"][0] = {**run["stages"][0], "kind": "curator", "use": "traces", "rows": [], "steps": 0, "reused": True}
    run["stages"][1]["policy"] = "base"
    report = build(run)
    assert "Nothing was compared" in render(report)
    assert "(reused)" in render_markdown(report)
    run["stages"] = []
    assert "Nothing was compared" in render(build(run))


def test_numbers_read_well() -> None:
    assert [quantity(0.6234, "share"), quantity(0.41234, "nats"), quantity(None, "share")] == [
        "62.3 %",
        "0.412 nats",
        DASH,
    ]
    assert [change(x, "share") for x in (0.313, -0.00001, -0.2)] == [
        "+31.3 points",
        "0.0 points",
        f"{MINUS}20.0 points",
    ]
    assert span(-0.02, 0.044, "share", signed=True) == f"{MINUS}2.0 to +4.4"
    assert span(None, 1.0, "share") == DASH
    assert number(2.5, "count") == "2.50"
    assert [probability(p) for p in (None, 0.0001, 0.0123, 1.0)] == [DASH, "< 0.001", "0.012", "1"]
    assert [duration(s) for s in (4.25, 192, 7260)] == ["4.2 s", "3 min 12 s", "2 h 1 min"]
    assert [count(n) for n in (0, 999, 1234567, None)] == ["0", "999", "1\u202f234\u202f567", DASH]
    assert [operations(n) for n in (0, 999, 12_345, 1.5e18, None)] == [
        "0 FLOP",
        "999 FLOP",
        "12.3 kFLOP",
        "1.5 EFLOP",
        DASH,
    ]


def test_what_a_stage_took(run: dict[str, Any]) -> None:
    """In one table with its time; what was not counted is no zero, and one unknown phase leaves no sum."""
    counts = {"prompts": 640, "samples": 5120, "sampled_tokens": 99, "trained_tokens": 1_234_567, "teacher_tokens": 42}
    warm, rl = run["stages"]
    warm["work"] = {**counts, "updates": 80, "flops": {"sample": 10**12, "score": 0, "train": 2 * 10**12, "teacher": 0}}
    report = build(run)
    page, text = render(report), render_markdown(report)
    assert "| warm | opd | base | 80 | 640 | 5 120 | 1 234 567 | 42 | 80 | 3 TFLOP |" in text
    assert "<td>80</td><td>640</td><td>5\u202f120</td><td>1\u202f234\u202f567</td><td>42</td>" in page
    assert "<td>not counted</td>" in page and "| rl | grpo | warm | 180 | not counted |" in text
    rl["work"] = {**warm["work"], "flops": {**warm["work"]["flops"], "teacher": None}}
    assert f"| 80 | {DASH} |" in render_markdown(build(run))


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium to open the page with")
@pytest.mark.parametrize("hostile", [False, True])
def test_chromium_draws_every_figure_without_a_complaint(run: dict[str, Any], tmp_path: Path, hostile: bool) -> None:
    report = build(poisoned(run) if hostile else run)
    output.write(report, tmp_path)
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=8000", "--enable-logging=stderr"]
    page = (tmp_path / "report.html").as_uri()
    command = [CHROMIUM, *flags, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", page]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "CONSOLE" not in done.stderr
    drawn = re.findall(r'class="plot[^"]*js-plotly-plot" id="(figure-[^"]+)"', done.stdout)
    assert drawn == ["figure-entropy", "figure-reward", "figure-length", "figure-pass-0", "figure-pass-1"]
    assert done.stdout.count('class="xtitle"') == len(drawn)
