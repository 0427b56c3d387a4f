"""The tables and pictures of `docs/replication.md`, from the report of the study that it tells of.

    python -m bench.replication keep runs/stage1_pocket runs/confound docs/replication   # numbers and pictures kept
    python -m bench.replication write docs/replication.md                                # its tables written again

`keep` takes what the page needs of the study's `report.json` and of a comparison's (`warmrl compare`, of the two arms
of the confound), and takes a picture of figures of the study's page in Chromium. A test checks that `write` changes
nothing.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from warmrl.report.markdown import cell, table
from warmrl.report.words import DASH, change, number, probability, span, verdict

Report = Mapping[str, Any]
BLOCK = re.compile(r"(<!-- table: ([^>]*) -->\n)(.*?)(<!-- end -->)", re.S)
# What of a study's report the page's tables are made of.
KEPT = ("name", "control", "seeds", "match", "interval", "suites", "arms", "metrics", "endpoints", "methods", "budget")
STUDY, CONFOUND = "report.json", "confound.json"
PICTURES = {
    "entropy": "#figure-entropy-outcome",
    "pass": "#figure-pass-0-entry",
    "transfer": "#figure-transfer",
}
WIDTH = 1000


def keep(study: Path, confound: Path, out: Path) -> None:
    """Keep what the page is made of in a folder."""
    out.mkdir(parents=True, exist_ok=True)
    report = json.loads((study / "report.json").read_text())
    kept = {key: report[key] for key in KEPT}
    regime = {key: report["regime"][key] for key in ("metric", "suite", "problems", "samples", "separation", "gain")}
    write(out / STUDY, kept | {"regime": regime})
    both = {point: json.loads((confound / point / "report.json").read_text()) for point in ("entry", "end")}
    write(out / CONFOUND, {point: one["methods"] for point, one in both.items()})
    pictures(study / "report.html", out)


def write(file: Path, value: Any) -> None:
    """Numbers, a line each, so that a later run's difference can be read."""
    file.write_text(json.dumps(value, indent=1) + "\n")


def pictures(page: Path, out: Path) -> None:
    """Figures of a study's page, whole, each as a PNG."""
    from bench.chromium import Chromium

    with Chromium() as browser:
        browser.open(page, width=WIDTH)
        for name, where in PICTURES.items():
            figure = f"document.querySelector('{where}').closest('figure')"
            browser.evaluate(f"{figure}.scrollIntoView()")
            browser.wait(f"[...{figure}.querySelectorAll('.plot')].every((one) => one.querySelector('.main-svg'))")
            box = browser.evaluate(
                f"(() => {{ const b = {figure}.getBoundingClientRect(); return [b.top + scrollY, b.height]; }})()"
            )
            browser.picture(out / f"{name}.png", whole=False, top=box[0], height=box[1])


def page(text: str, folder: Path) -> str:
    """The page with its tables as the kept numbers have them."""
    study, confound = (json.loads((folder / name).read_text()) for name in (STUDY, CONFOUND))

    def again(found: re.Match[str]) -> str:
        name, *what = found[2].split()
        return f"{found[1]}{chr(10).join(TABLES[name](confound if name == 'confound' else study, *what))}\n{found[4]}"

    return BLOCK.sub(again, text)


def endpoints(report: Report, suite: str) -> list[str]:
    """A row for the base and for each arm at RL entry and at the end: means over seeds with their intervals."""
    rows = {(row["arm"], row["point"], row["metric"]): row for row in report["endpoints"] if row["suite"] == suite}
    metrics = [one["name"] for one in report["metrics"]]
    places = [(None, "base"), *((arm["name"], point) for point in ("entry", "end") for arm in report["arms"])]
    body = [
        ["base" if arm is None else f"{arm}, {point}", *(cell(rows.get((arm, point, one))) for one in metrics)]
        for arm, point in places
    ]
    return table(["", *metrics], body)


def contrasts(report: Report, point: str, suite: str, *wanted: str) -> list[str]:
    """A row for each arm against the control at a point: difference, interval, Holm's p, and in words."""
    rows = [
        row
        for row in report["methods"]["contrasts"]
        if row["point"] == point and row["suite"] == suite and row["metric"] in wanted
    ]
    own = [arm["name"] for arm in report["arms"]]
    rows.sort(key=lambda row: (wanted.index(row["metric"]), own.index(row["arm"])))
    return lines(rows, [f"{row['metric']}: {row['arm']}" for row in rows])


def confound(report: Report, point: str) -> list[str]:
    """On-policy distillation against SFT on the teacher's samples: the same target, on-policy or not."""
    rows = report[point]["contrasts"]
    return lines(rows, [f"{row['suite']}: {row['metric']}" for row in rows])


def lines(rows: list[Report], names: list[str]) -> list[str]:
    """Contrasts of methods, a line each."""
    body = [
        [
            name,
            change(row["difference"], row["unit"]),
            span(row["low"], row["high"], row["unit"], signed=True),
            number(row["mde"], row["unit"]) if row["mde"] is not None else DASH,
            probability(row["adjusted"]),
            verdict(row, over_time=False),
        ]
        for name, row in zip(names, rows, strict=True)
    ]
    return table(["", "difference", "interval", "detectable", "Holm p", "in words"], body)


def separation(report: Report) -> list[str]:
    """Until which step of RL each arm's entropy is apart from the control's."""
    return [f"* {one['sentence']}" for one in report["regime"]["separation"]]


TABLES: dict[str, Callable[..., list[str]]] = {
    "endpoints": endpoints,
    "contrasts": contrasts,
    "confound": confound,
    "separation": separation,
}


def main() -> None:
    """Keep numbers, or write the page's tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    kept = verbs.add_parser("keep")
    for name in ("study", "confound", "out"):
        kept.add_argument(name, type=Path)
    verbs.add_parser("write").add_argument("page", type=Path)
    asked = parser.parse_args()
    if asked.verb == "keep":
        keep(asked.study, asked.confound, asked.out)
    else:
        asked.page.write_text(page(asked.page.read_text(), asked.page.with_suffix("")))


if __name__ == "__main__":
    main()
