"""The files of a report: report.json, report.html and report.md with the same numbers, each replaced whole."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from warmrl.domain.errors import UsageError
from warmrl.report import comparison_markdown, html, markdown, study_markdown
from warmrl.report.scores import FORMAT

MARKDOWN = {"run": markdown.render, "comparison": comparison_markdown.render, "study": study_markdown.render}


def write(report: Mapping[str, Any], folder: Path) -> None:
    """Write the report of `build` (of a run, comparison or study) into `folder`; the same report gives the same bytes.

    Raises UsageError for a report.json that another version of warmrl wrote.
    """
    if report.get("format") != FORMAT:
        raise UsageError(
            f"This report is of format {report.get('format')}, and this version of warmrl writes format {FORMAT}: "
            "run or compare again (what was sampled is reused)."
        )
    text = json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    for name, content in {
        "report.json": text,
        "report.md": MARKDOWN[report["kind"]](report),
        "report.html": html.render(report),
    }.items():
        replace(folder / name, content)


def replace(path: Path, content: str) -> None:
    """Put `content` at `path` in one step: a reader sees the old file or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    aside = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content.encode("utf-8", "backslashreplace"))
            file.flush()
            os.fsync(file.fileno())
        aside.chmod(0o644)
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
