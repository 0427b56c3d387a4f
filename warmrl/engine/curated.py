"""What a curator stage of a run made, read back from the store: its problems, its funnel, where each side came from."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from warmrl.domain.answer import AnswerStyle
from warmrl.domain.errors import UsageError
from warmrl.domain.problem import Problem, Text
from warmrl.engine import recipe_file
from warmrl.engine.checkpoints import stages_of
from warmrl.engine.entries import CURATED, Entries
from warmrl.engine.recipe_rules import curated_data
from warmrl.engine.run_folder import RESOLVED
from warmrl.engine.run_place import known_run

ORIGINS = ("part", "chosen_from", "rejected_from")
"""What curators say of a problem in `extra` that is worth counting."""


@dataclass(frozen=True)
class Curated:
    """What a curator made: the curator's name, its record (`done.json`), its problems, the recipe's answer style."""

    use: str
    record: Mapping[str, Any]
    problems: list[Problem]
    style: AnswerStyle[Any]

    @property
    def funnel(self) -> list[dict[str, Any]]:
        """Its steps, as `FunnelStep` has them."""
        return list(self.record.get("funnel", []))

    def counts(self) -> dict[str, dict[str, int]]:
        """How many problems came from where, for each of `ORIGINS` that they say, most first."""
        said = {name: [one.extra[name] for one in self.problems if name in one.extra] for name in ORIGINS}
        return {name: dict(Counter(map(origin, found)).most_common()) for name, found in said.items() if found}


def origin(value: Any) -> str:
    """Where one side came from, without the number of the sample: `base, strip_tags`."""
    if not isinstance(value, Mapping):
        return str(value)
    told = {name: one for name, one in value.items() if name != "sample" and one not in (None, False)}
    return ", ".join(name if one is True else str(one) for name, one in told.items())


def question(problem: Problem) -> str:
    """A problem's prompt as text, images by their place."""
    texts = ["".join(one.text if isinstance(one, Text) else "<image>" for one in m.parts) for m in problem.messages]
    return "\n".join(texts)


def is_curated(target: str) -> bool:
    """Whether `RUN#stage[/part]` names a finished curator stage."""
    run, name = divided(target)
    stage = known_run(run).get("stages", {}).get(name.partition("/")[0], {})
    return (run / stage.get("store", "") / CURATED).is_file()


def read_curated(target: str) -> Curated:
    """What the curator of `RUN#stage[/part]` made. Raises `UsageError` when it is not there, and `DataError`."""
    run, name = divided(target)
    stages = stages_of(run, target)
    file = recipe_file.read(run / RESOLVED)
    known = list(curated_data(file.recipe))
    stage, _, part = name.partition("/")
    if name not in known:
        raise UsageError(f"`{target}`: no curator of this run made `{name}`; there are: {', '.join(known) or 'none'}.")
    if stage not in stages:
        raise UsageError(f"`{target}`: the stage `{stage}` is not finished; run the recipe again.")
    folder = run / stages[stage]["store"]
    # Under the keys that they had when they were made: a curator may read what another one made.
    entries = Entries(file, folder.parent, {name: Path(one["store"]).name for name, one in stages.items()})
    try:
        problems = [one for one in entries.curated(stage) if part in ("", one.extra.get("part"))]
        record = json.loads((folder / "done.json").read_text())
    except FileNotFoundError as error:
        raise UsageError(f"`{target}`: {error.filename} is gone from the store; run the recipe again.") from None
    return Curated(file.recipe.stage[stage].use, record, problems, file.registry.instance(file.recipe.answer))


def divided(target: str) -> tuple[Path, str]:
    """The run folder of `RUN#name`, and the name."""
    run, _, name = target.rpartition("#")
    return Path(run), name
