"""report.json as one self-contained page that opens from disk: no network, light and dark, phone and paper."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from plotly.offline import get_plotlyjs

from warmrl.report import words
from warmrl.report.along import along
from warmrl.report.comparison_figures import comparison_figures
from warmrl.report.comparison_tables import RULES, TESTS, claims, family, few, method_suites, standings, target_suites
from warmrl.report.figures import figures
from warmrl.report.handoff import handoff_tables
from warmrl.report.study_page import studied
from warmrl.report.tables import TOOK, blocks, by_suite, grading, metric_grid, missing, overlapping, spent

CLAIM = "Checkpoint claim: intervals over problems."


@cache
def environment() -> Environment:
    """Templates with escaping on: names, findings and recipes are text that others wrote."""
    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        number=words.number,
        quantity=words.quantity,
        change=words.change,
        span=words.span,
        percent=words.percent,
        probability=words.probability,
        duration=words.duration,
        rate=words.rate,
        verdict=words.verdict,
        good=words.good,
        tight=tight,
        sentence=words.sentence_case,
        coded=coded,
        pretty=lambda value: json.dumps(value, indent=2, ensure_ascii=False),
    )
    return made


def render(report: Mapping[str, Any]) -> str:
    """The whole page, of a run, of a comparison or of a study."""
    template, content = PAGES[report["kind"]]
    return (
        environment()
        .get_template(f"{template}.html.j2")
        .render(
            report=report,
            level=words.percent(report["interval"]["level"]),
            rules=RULES,
            tests=TESTS,
            plotly=Markup(get_plotlyjs()),  # noqa: S704 - plotly's own script, not text from a run
            **content(report),
        )
    )


def evaluated(report: Mapping[str, Any]) -> dict[str, Any]:
    """What the pages of runs and comparisons show of their evaluations."""
    return {
        "claim": CLAIM,
        "graded": grading(report),
        "overlapping": overlapping(report),
        "blocks": blocks(report),
        "missing": missing(report),
    }


def trained(report: Mapping[str, Any]) -> dict[str, Any]:
    """What the page of a run shows beside its numbers."""
    suites = [{**suite, "grid": metric_grid(suite, report["roles"])} for suite in by_suite(report)]
    return {
        **evaluated(report),
        "suites": suites,
        "handoffs": handoff_tables(report),
        "along": along(report),
        "took": list(TOOK),
        "spent": spent(report),
        "figures": figures(report),
    }


def compared(report: Mapping[str, Any]) -> dict[str, Any]:
    """What the page of a comparison shows beside its numbers."""
    return {
        **evaluated(report),
        "suites": target_suites(report),
        "methods": method_suites(report),
        "standings": standings(report),
        "few": few(report),
        "claims": claims(report),
        "family": family(report),
        "figures": comparison_figures(report),
    }


PAGES: Mapping[str, tuple[str, Callable[[Mapping[str, Any]], dict[str, Any]]]] = {
    "run": ("report", trained),
    "comparison": ("comparison", compared),
    "study": ("study", studied),
}


def tight(text: str) -> str:
    """The same text with numbers kept on one line with what belongs to them."""
    return text.replace(" to ", "\u00a0to\u00a0").replace(" %", "\u00a0%")


def coded(text: str) -> Markup:
    """A sentence with what stands between backticks as code; everything else in it stays text."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(tight(text)))))  # noqa: S704 - escaped just before
