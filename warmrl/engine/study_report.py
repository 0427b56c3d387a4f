"""Writes the report of a study from whatever its cells have left: numbers, page, Markdown, and the sample browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from warmrl.engine.study_file import StudyFile
from warmrl.engine.study_gather import gather


def write_study_report(study: StudyFile, folder: Path) -> dict[str, Any]:
    """Gather, build and write `report.json`, `report.html`, `report.md` and `browser/` into a study's folder."""
    from warmrl.engine.sample_browser import write_browser
    from warmrl.report.output import write
    from warmrl.report.study import build

    report = build(gather(study, folder), write_browser(study, folder))
    write(report, folder)
    return report
