"""The page and the Markdown of a comparison: self-contained, safe against hostile text, claims told apart."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from bench.simulated_targets import comparison
from warmrl.domain.errors import UsageError
from warmrl.report import output
from warmrl.report.comparison import build
from warmrl.report.comparison_markdown import render as render_markdown
from warmrl.report.html import render

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>`|**b**\u2028{{ 7 * 7 }}"
CHROMIUM = shutil.which("chromium")
SUITES = {"geometry": (0.0, 60), "charts": (0.5, 40)}


def given(targets: int = 4, name: str = "target", **more: Any) -> dict[str, Any]:
    labels = {f"{name} {place}": -0.8 + 0.5 * place for place in range(targets)}
    found = comparison(labels, SUITES, draws=200, **more)
    found["evaluations"][0]["overlap"] = {
        "trained_on": ["train"],
        "text": 1,
        "ngram": 2,
        "image": 0,
        "problems": found["evaluations"][0]["problems"][:2],
    }
    found["evaluations"][0]["notes"] = ["1 problem is left out: its image can't be read."]
    return found


def over_seeds() -> dict[str, Any]:
    arms = {arm: [f"{arm}/{seed}" for seed in (1, 2, 3)] for arm in ("sft", "opd")}
    skills = {label: 0.6 * (arm == "opd") for arm, labels in arms.items() for label in labels}
    return comparison(skills, SUITES, arms=arms, draws=200)


def poisoned() -> dict[str, Any]:
    """Every free text of a comparison replaced by hostile text."""
    found = given(name=HOSTILE, control=f"{HOSTILE} 0")
    found |= {"name": HOSTILE, "findings": [HOSTILE], "reproduce": [HOSTILE], "environment": {HOSTILE: HOSTILE}}
    found |= {"domains": {}, "force": True}
    for target in found["targets"]:
        target["source"] = HOSTILE
    for one in found["evaluations"]:
        one["suite"] += HOSTILE
        one["graders"] |= {"first": HOSTILE, "second": HOSTILE}
        one["settings"] = {"backend": HOSTILE, HOSTILE: {HOSTILE: one["checkpoint"]}}
        one["notes"] = [HOSTILE]
        one["metrics"][HOSTILE] = one["metrics"].pop("accuracy")
    found["evaluations"][0]["overlap"]["trained_on"] = [HOSTILE]
    return found


def own(page: str) -> str:
    """The page without plotly's own script."""
    start = page.index("<script>/**")
    return page[:start] + page[page.index("</script>", start) :]


def figures(page: str) -> list[dict[str, Any]]:
    found = re.search(r'<script type="application/json" id="figures">(.*?)</script>', page, re.S)
    assert found and "<" not in found[1]
    return json.loads(found[1])


def test_the_files_hold_the_same_bytes_again(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        output.write(build(given()), tmp_path / folder)
    for name in ("report.html", "report.json", "report.md"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    lead = json.loads((tmp_path / "one" / "report.json").read_text())["answer"][0]["text"]
    assert lead.split(",")[0] in (tmp_path / "one" / "report.html").read_text()
    assert lead.split(",")[0] in (tmp_path / "one" / "report.md").read_text()


def test_a_report_of_another_version_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="format 1, and this version of warmrl writes format 2"):
        output.write({**build(given()), "format": 1}, tmp_path)


def test_the_page_stands_alone_and_holds_every_part() -> None:
    page = render(build(given()))
    assert not re.findall(r'(?:src|href)="(?!data:,")', own(page))
    assert "default-src 'none'" in page
    headings = re.findall(r"<h2[^>]*>([^<]+)</h2>", page)
    assert headings == [
        "What can be told apart",
        "Each target",
        "Differences, problem by problem",
        "Several samples: pass@k",
        "Entropy and diversity",
        "Transfer",
        "How the answers were graded",
        "What training may have seen",
        "Findings on the way",
        "How the answers were sampled",
        "How to reproduce it",
    ]
    assert "not resolvable at this size" in page and "Holm" in page


@pytest.mark.parametrize("of", [given, over_seeds])
def test_every_table_of_numbers_says_its_claim(of: Any) -> None:
    page = own(render(build(of())))
    captions = re.findall(r"<table[^>]*>\s*<caption><span>(.*?)</span></caption>", page, re.S)
    assert len(captions) == page.count("<table") > 8
    assert all(re.search(r"Checkpoint claim|Method claim|no claim", caption) for caption in captions)
    assert any("Method claim" in caption for caption in captions) == (of is over_seeds)


def test_figures_are_of_what_was_measured() -> None:
    found = {figure["id"]: figure for figure in figures(render(build(given())))}
    assert list(found) == [
        *("figure-difference-0", "figure-pass-0", "figure-difference-1", "figure-pass-1"),
        *("figure-spread-0", "figure-spread-1", "figure-transfer-0"),
    ]
    report = build(given())
    points = [trace for trace in found["figure-difference-0"]["data"] if trace["type"] == "scatter"]
    drawn = {label[0]: x for trace in points for label, x in zip(trace["customdata"], trace["x"], strict=True)}
    for row in report["contrasts"]:
        if (row["suite"], row["metric"]) == ("geometry", "accuracy"):
            assert drawn[f"{row['from']} → {row['to']}"] == pytest.approx(100 * row["difference"])
    assert [trace["name"] for trace in found["figure-transfer-0"]["data"]] == [f"target {i}" for i in range(4)]


def test_seeds_of_an_arm_share_a_colour() -> None:
    found = next(figure for figure in figures(render(build(over_seeds()))) if figure["id"] == "figure-pass-0")
    colours = [trace["line"]["color"] for trace in found["data"]]
    assert len(set(colours[:3])) == len(set(colours[3:])) == 1 and colours[0] != colours[3]
    assert len({trace["line"]["dash"] for trace in found["data"][:3]}) == 3


def test_what_was_forced_opens_the_page() -> None:
    unlike = given()
    unlike["force"] = True
    unlike["evaluations"][0]["settings"] = {**unlike["evaluations"][0]["settings"], "temperature": 0.6}
    page, text = render(build(unlike)), render_markdown(build(unlike))
    assert page.index("Compared by force") < page.index('class="lead"')
    assert "<code>temperature</code> is 0.6 for <code>target 0</code>" in page
    assert text.index("Compared by force") < text.index("tells")


def test_hostile_text_stays_text() -> None:
    report = build(poisoned())
    page = own(render(report))
    assert "alert(1)" in page
    assert "<script>alert" not in page and "<img" not in page and "49" not in re.findall(r"\*\*b\*\*.(\S+)", page)
    for figure in figures(page):
        assert not any("<" in str(trace["name"]) for trace in figure["data"])
        assert "<" not in json.dumps(figure["layout"])
    text = render_markdown(report)
    outside = re.sub(r"^(`{3,})\n.*?^\1$", "", text, flags=re.M | re.S)
    assert "alert" in outside and not re.search(r"(?<!\\)<", outside)


def test_better_is_never_said() -> None:
    for of in (given(), over_seeds()):
        report = build(of)
        for text in (own(render(report)), render_markdown(report)):
            assert "better" not in text.replace("higher_is_better", "")


def test_one_suite_and_one_pair_render() -> None:
    bare = given(targets=2)
    bare["evaluations"] = [
        {key: value for key, value in one.items() if key not in ("right", "n", "graders", "counts", "notes", "overlap")}
        for one in bare["evaluations"]
        if one["suite"] == "geometry"
    ]
    report = build(bare)
    page = own(render(report))
    assert "What can be told apart</h2>" not in page and "Transfer" not in page
    assert "Methods" not in render_markdown(report)


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium to open the page with")
@pytest.mark.parametrize("of", [over_seeds, poisoned])
def test_chromium_draws_every_figure_without_a_complaint(tmp_path: Path, of: Any) -> None:
    report = build(of())
    output.write(report, tmp_path)
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=8000", "--enable-logging=stderr"]
    page = (tmp_path / "report.html").as_uri()
    command = [CHROMIUM, *flags, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", page]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "CONSOLE" not in done.stderr
    drawn = re.findall(r'class="plot[^"]*js-plotly-plot" id="(figure-[^"]+)"', done.stdout)
    assert sorted(drawn) == sorted(figure["id"] for figure in figures(render(report)))
    assert done.stdout.count('class="xtitle"') == len(drawn)
