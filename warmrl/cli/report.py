"""`warmrl report`: write a finished run's report again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    run: Annotated[Path, typer.Argument(help="A run folder.", metavar="RUN")],
) -> None:
    """Write report.html and report.md of a finished run again, from its report.json."""
    import json

    from warmrl.domain.errors import UsageError
    from warmrl.report.output import write

    try:
        found = json.loads((run / "report.json").read_text())
    except (OSError, ValueError):
        raise UsageError(f"{run} holds no finished run (no report.json); run its recipe to the end first.") from None
    write(found, run)
    print(run / "report.html")  # noqa: T201
