"""What a recipe trains on that its suites ask: found once, kept in the store, shown with every score."""

from __future__ import annotations

import json
from typing import Any

from warmrl.domain.errors import DataError
from warmrl.domain.problem import Problem
from warmrl.engine.entries import Entries
from warmrl.engine.keys import key_of
from warmrl.engine.overlap import Overlap, overlap
from warmrl.engine.recipe_rules import data_of, stage_config
from warmrl.engine.storage import write_json
from warmrl.engine.suites import Suite

THUMBNAILS = "thumbnails.json"
"""What is remembered of pictures, in the store."""
MOST = 20_000
"""Training problems up to which every run looks for overlaps: some minutes of opening pictures."""


def contamination(entries: Entries, suite: Suite) -> tuple[dict[str, Any] | None, str | None]:
    """What a suite shares with the data that the recipe's stages read, as a report has it; or why that isn't known."""
    recipe = entries.file.recipe
    names = sorted(
        {name for choice in recipe.stage.values() for name in data_of(stage_config(choice))} & {*recipe.data}
    )
    if not names:
        return None, None
    parts = [entries.data_parts(f"data.{name}")["fingerprint"] for name in names]
    file = entries.store / f"overlap-{key_of({'overlap': parts, 'suite': suite.revision})}.json"
    if file.exists():
        return json.loads(file.read_text()), None
    problems: dict[str, Problem] = {}
    for name in names:
        problems |= {problem.id: problem for problem in entries.dataset(f"data.{name}").problems()}
    if len(problems) > MOST:
        return None, (
            f"`{suite.name}` was not searched for training problems: there are {len(problems)}, and more than {MOST} "
            f"take long. `warmrl data overlap` does it."
        )
    try:
        found = overlap(list(problems.values()), list(suite.problems.values()), cache=entries.store / THUMBNAILS)
    except DataError as error:
        return None, f"`{suite.name}` was not searched for training problems: {error}"
    table = overlap_table(found, names)
    write_json(file, table)
    return table, None


def overlap_table(found: Overlap, trained_on: list[str]) -> dict[str, Any]:
    """An overlap as a report has it."""
    counts = {str(kind): count for kind, count in found.counts.items()}
    return {"trained_on": trained_on, **counts, "problems": list(found.ids)}
