"""The tables and pictures of `docs/replication.md`, from the report of the study that it tells of.

    python -m bench.replication keep runs/stage1_pocket runs/compared docs/replication   # numbers and pictures kept
    python -m bench.replication write docs/replication.md                                # its tables written again

`keep` takes what the page needs of the study's `report.json` and of comparisons of two of its arms (folders of
`warmrl compare` in `runs/compared`: `entry`, `end`, `over`), and a picture of each of some figures of the study's page
in Chromium. A test checks that `write` changes nothing.
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
KEPT = ("arms", "metrics", "endpoints", "methods")
STUDY, COMPARED = "report.json", "compared.json"
PICTURES = {
    "entropy": "#figure-entropy-outcome",
    "pass": "#figure-pass-0-entry",
    "transfer": "#figure-transfer",
}
WIDTH = 1000


def keep(study: Path, compared: Path, out: Path) -> None:
    """Keep what the page is made of in a folder."""
    out.mkdir(parents=True, exist_ok=True)
    report = json.loads((study / "report.json").read_text())
    kept = {key: report[key] for key in KEPT}
    regime = {key: report["regime"][key] for key in ("separation", "gain")}
    (out / STUDY).write_text(json.dumps(kept | {"regime": regime}) + "\n")
    pairs = {
        file.parent.name: json.loads(file.read_text())["methods"] for file in sorted(compared.glob("*/report.json"))
    }
    (out / COMPARED).write_text(json.dumps(pairs) + "\n")
    pictures(study / "report.html", out)


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
    study, pairs = (json.loads((folder / name).read_text()) for name in (STUDY, COMPARED))

    def again(found: re.Match[str]) -> str:
        name, *what = found[2].split()
        return f"{found[1]}{chr(10).join(TABLES[name](pairs if name == 'compared' else study, *what))}\n{found[4]}"

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


def compared(pairs: Report, name: str, *suites: str) -> list[str]:
    """A comparison of two arms: a row for each suite (default: all) and metric."""
    rows = [row for row in pairs[name]["contrasts"] if not suites or row["suite"] in suites]
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
    "compared": compared,
    "separation": separation,
}


def main() -> None:
    """Keep numbers, or write the page's tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    kept = verbs.add_parser("keep")
    for name in ("study", "compared", "out"):
        kept.add_argument(name, type=Path)
    verbs.add_parser("write").add_argument("page", type=Path)
    asked = parser.parse_args()
    if asked.verb == "keep":
        keep(asked.study, asked.compared, asked.out)
    else:
        asked.page.write_text(page(asked.page.read_text(), asked.page.with_suffix("")))


if __name__ == "__main__":
    main()
