"""report.json as one self-contained page that opens from disk: no network, light and dark, phone and paper."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from warmrl.report import words
from warmrl.report.figures import figures
from warmrl.report.tables import by_suite, stage_times


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
        verdict=words.verdict,
        good=words.good,
        tight=tight,
        pretty=lambda value: json.dumps(value, indent=2, ensure_ascii=False),
    )
    return made


def render(report: Mapping[str, Any]) -> str:
    """The whole page."""
    return (
        environment()
        .get_template("report.html.j2")
        .render(
            report=report,
            suites=by_suite(report),
            times=stage_times(report),
            figures=figures(report),
            plotly=Markup(get_plotlyjs()),  # noqa: S704 - plotly's own script, not text from a run
        )
    )


def tight(text: str) -> str:
    """The same text with numbers kept on one line with what belongs to them."""
    return text.replace(" to ", "\u00a0to\u00a0").replace(" %", "\u00a0%")
