"""`warmrl report`: write a finished run's report again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    run: Annotated[Path, typer.Argument(help="A run folder, or a study's.", metavar="RUN")],
) -> None:
    """Write report.html and report.md of a finished run again, from its report.json; of a study from its cells."""
    import json

    from warmrl.domain.errors import UsageError
    from warmrl.engine.run_place import STUDY_FILE, damaged_study, known_study, named

    run = named(run)
    if known_study(run):
        from warmrl.cli.study import report_again

        report_again(run)
        return
    if damaged_study(run):
        raise UsageError(
            f"{run / STUDY_FILE} is damaged, so this folder's report cannot be made from it. Run the study again with "
            "its recipe: the file is made again from what its cells left, which is reused, and the report with it."
        )
    try:
        found = json.loads((run / "report.json").read_text())
    except (OSError, ValueError):
        raise UsageError(f"{run} holds no finished run (no report.json); run its recipe to the end first.") from None
    from warmrl.report.output import write

    write(found, run)
    print(run / "report.html")  # noqa: T201
