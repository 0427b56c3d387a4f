"""The sample browser in Chromium, opened from disk: filters, deep links, keys, chunks on demand, hostile text."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from markupsafe import Markup
from PIL import Image
from planted_study import Planted

from warmrl.engine.sample_browser import write_browser
from warmrl.report.html import environment

CHROMIUM = shutil.which("chromium")
HOSTILE = "</script><img src=x onerror=\"document.title='owned'\"><b>bold</b>{{ 7 * 7 }}"
ARMS, SEEDS, POINTS, PROBLEMS = ("none", "sft"), (1, 2), ("base", "entry", "end"), range(24)
PAGE = """<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><link rel="icon" href="data:,">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'unsafe-inline' 'self' file:;
 style-src 'unsafe-inline'; img-src data:">
<style>{% include "report.css" %}</style></head><body><main>{% include "browser.html.j2" %}</main>
<script type="application/json" id="cases">{{ cases | tojson }}</script><script>{{ driver }}</script></body></html>"""
# Goes through the cases as a reader would, and writes down what the page then shows.
DRIVER = """
(async () => {
  const find = (what) => document.querySelector(what), told = [], all = (what) => [...document.querySelectorAll(what)];
  const ready = () => /^\\d+ of/.test(find(".samples-count").textContent) &&
    (find(".samples-view").hidden || find("article").getAttribute("aria-busy") === "false");
  const settled = async () => {
    for (let tries = 0; tries < 100 && (await new Promise((go) => setTimeout(go, 20)), !ready()); tries += 1);
  };
  const note = () => told.push({
    count: find(".samples-count").textContent, problem: find("article").dataset.problem, hash: location.hash,
    left: all("[data-problem] option").map((one) => one.textContent.split(" ")[3]), text: find("article").textContent,
    heads: all(".samples-arm h3").map((one) => one.textContent), chunks: all("script[src*=chunk]").length,
    tokens: all("[data-entropy]").length, reading: all(".samples-reading").map((one) => one.textContent).join(""),
    images: [...document.images].map((one) => [one.src.slice(0, 11), one.naturalWidth]), title: document.title,
    bold: all("article b").map((one) => one.textContent),
  });
  await settled();
  note();
  for (const one of JSON.parse(find("#cases").textContent)) {
    if (one.startsWith("#")) location.hash = one;
    else {
      const [where, key] = one.split("|");
      find(where).dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
    }
    await settled();
    note();
  }
  find("#cases").textContent = JSON.stringify(told).replaceAll("<", "\\\\u003c");
})();
"""


def solved(arm: str, seed: int, point: str, number: int) -> bool:
    if point == "base":
        return number % 2 == 0
    return (number * (2 if point == "end" else 1) + seed + len(arm)) % (5 if point == "end" else 3) < 2


def truncated(arm: str, seed: int, point: str, number: int) -> bool:
    return (arm, seed, number) == ("sft", 2, 5) and point == "entry"


def verdict(arm: str | None, seed: int | None, point: str, number: int, index: int) -> tuple[str, str]:
    right = solved(arm or "", seed or 0, point, number) if index < 0 else index % 2 == 0
    return "right" if right else "wrong", "length" if truncated(arm or "", seed or 0, point, number) else "stop"


class Hostile(Planted):
    def answer(self, number: int, verdict: str, finish: str) -> tuple[str, list[int]]:
        text, ids = super().answer(number, verdict, finish)
        return (HOSTILE, ids) if number == 23 else (text, ids)


def opened(folder: Path, cases: list[str], start: str = "") -> tuple[list[dict[str, Any]], str]:
    """What the page showed at first and after each case (a hash, or where a key is pressed), and what was logged."""
    report = {"browser": {"folder": "browser", "chunks": 2, "problems": 24}}
    page = environment().from_string(PAGE).render(report=report, cases=cases, driver=Markup(DRIVER))
    (folder / "page.html").write_text(page)
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=60000", "--enable-logging=stderr"]
    address = (folder / "page.html").as_uri() + start
    command = [str(CHROMIUM), *flags, f"--user-data-dir={folder / 'profile'}", "--dump-dom", address]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    found = re.search(r'<script type="application/json" id="cases">(.*?)</script>', done.stdout, re.S)
    assert found
    return json.loads(found[1]), done.stderr


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    Image.new("L", (40, 30), 255).save(folder / "figure.png")
    rows = [
        {
            "id": f"p/{n:02d}",
            "question": HOSTILE if n == 23 else f"how many {n} ?",
            "answer": HOSTILE if n == 23 else "7",
        }
        for n in PROBLEMS
    ]
    for row in rows:
        row["images"] = ["figure.png"] if row["id"] in ("p/00", "p/23") else []
    planted = Hostile(folder, rows, verdict, ARMS, SEEDS)
    assert write_browser(planted.write(), folder) == {"folder": "browser", "chunks": 2, "problems": 24}
    return folder


def runs(arm: str = "", seed: int = 0) -> list[tuple[str, int]]:
    return [(a, s) for a in ARMS for s in SEEDS if arm in ("", a) and seed in (0, s)]


FILTERS: dict[str, Any] = {
    "status=solved": lambda n: any(solved(*run, "end", n) for run in runs()),
    "status=solved&arm=sft&seed=2": lambda n: solved("sft", 2, "end", n),
    "status=solved&arm=sft&point=entry": lambda n: any(solved(*run, "entry", n) for run in runs("sft")),
    "status=unsolved&point=base": lambda n: n % 2 == 1,
    "status=truncated&point=entry": lambda n: n == 5,
    "status=truncated&point=entry&arm=none": lambda n: False,
    "status=lost-entry&arm=none": lambda n: any(
        solved(*run, "entry", n) and not solved(*run, "end", n) for run in runs("none")
    ),
    "status=lost-base&seed=1": lambda n: any(n % 2 == 0 and not solved(*run, "end", n) for run in runs(seed=1)),
    "status=gained-base&arm=sft&seed=1": lambda n: n % 2 == 1 and solved("sft", 1, "end", n),
    "suite=validation&text=MANY+1": lambda n: n == 1 or 10 <= n <= 19,
    "text=p/07": lambda n: n == 7,
    "suite=other&arm=nobody": lambda n: True,  # names that are not there filter nothing
}


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium to open the page with")
def test_each_filter_leaves_the_problems_it_should(study: Path) -> None:
    told, log = opened(study, [f"#samples?{one}" for one in FILTERS])
    assert "CONSOLE" not in log
    assert told[0]["count"] == "24 of 24 problems" and told[0]["problem"] == "validation/p/00"
    assert told[0]["chunks"] == 1  # the second is not loaded before it is looked at
    assert told[0]["heads"] == ["Base", "none, seed 1", "sft, seed 1"]
    assert told[0]["images"] == [["data:image/", 40]]
    for (name, holds), page in zip(FILTERS.items(), told[1:], strict=True):
        expected = [f"p/{n:02d}" for n in PROBLEMS if holds(n)]
        assert page["left"] == expected, name
        assert page["count"].startswith(f"{len(expected)} of 24 problems"), name
    pages = dict(zip(FILTERS, told[1:], strict=True))
    assert pages["status=solved&arm=sft&seed=2"]["heads"] == ["Base", "sft, seed 2"]
    assert pages["status=unsolved&point=base"]["heads"] == ["Base"]
    truncated_page = pages["status=truncated&point=entry"]
    assert truncated_page["heads"] == ["none, seed 1", "sft, seed 2"]  # the seed that the filter means
    assert "⋯ truncated" in truncated_page["text"] and "✗ wrong" in truncated_page["text"]


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium to open the page with")
def test_a_deep_link_opens_its_problem_keys_move_and_hostile_text_stays_text(study: Path) -> None:
    deep = "#samples?arm=sft&problem=validation%2Fp%2F22"
    keys = ["article|k", "article|j", "article|ArrowRight", "#samples?problem=validation/p/03"]
    told, log = opened(study, [*keys, *2 * [".samples-answer pre|ArrowRight"], ".samples-answer pre|j"], deep)
    assert "CONSOLE" not in log
    assert [page["problem"][-2:] for page in told] == ["22", "21", "22", "23", "03", "03", "03", "04"]
    assert [page["reading"] for page in told[4:]] == ["", "“<answer>” 0.00 nats", "“3” 0.01 nats", ""]
    assert told[0]["chunks"] == 1 and told[-1]["chunks"] == 2
    assert "problem=validation%2Fp%2F23" in told[3]["hash"] and "arm=sft" in told[3]["hash"]
    hostile = told[3]
    assert hostile["text"].count(HOSTILE) >= 4  # the question, the right answer, the answers
    assert hostile["tokens"] == 0  # its tokens are not those of its text, so it stands plain
    assert not any("bold" in one and "<" not in one for one in hostile["bold"])
    assert all(page["title"] == told[0]["title"] != "owned" for page in told)
    assert hostile["images"] == [["data:image/", 40]]
    assert told[0]["tokens"] > 20


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium to open the page with")
def test_a_page_without_its_folder_says_so(study: Path, tmp_path: Path) -> None:
    told, _ = opened(tmp_path, [])
    assert "not beside this page" in told[0]["count"] and "“browser”" in told[0]["count"]
