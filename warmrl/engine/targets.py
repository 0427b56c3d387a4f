"""What `warmrl eval` and `warmrl compare` are given: checkpoints of anyone, and files of samples. No torch.

A checkpoint becomes a recipe without stages whose model it is: the *protocol* (suites, metrics, prompts, sampling) with
another `model.path`. So its answers have the same place in the store, whichever command asks for them.
"""

from __future__ import annotations

import json
import os.path
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from warmrl.domain.errors import UsageError
from warmrl.engine import recipe_file
from warmrl.engine.recipe_file import RecipeFile
from warmrl.engine.run_place import RUN_FILE

RESOLVED = "recipe.resolved.json"
FILES = (".jsonl", ".json", ".tsv", ".csv", ".xlsx", ".pkl")
"""How files of samples end (a pickle is refused with a sentence)."""
TRAINING = ("stage", "probe", "reward", "data", "extends")
"""Tables of a recipe that say nothing about how a checkpoint is measured."""
PROBES = ["accuracy", "pass@1", "pass@16", "diversity@8", "entropy", "length", "truncated", "extraction_failure"]
"""What is measured where nobody says what."""


@dataclass(frozen=True)
class Target:
    """One thing to measure: its label in tables, what it is, and the protocol as a recipe whose model it is."""

    label: str
    source: str
    file: RecipeFile
    arm: str | None = None
    seed: int | None = None

    @property
    def is_file(self) -> bool:
        """Whether it is a file of samples, of which no model is known."""
        return is_file(self.source)


@dataclass(frozen=True)
class Protocol:
    """How everything is measured: a recipe's tables without a model's path, and the file that errors name."""

    path: Path
    table: dict[str, Any]

    def of(self, source: str, model: dict[str, Any]) -> RecipeFile:
        """The recipe without stages that measures one checkpoint. Raises `RecipeError`."""
        name = re.sub(r"[^A-Za-z0-9_-]+", "_", f"eval_{source}")
        table = json.loads(json.dumps(self.table)) | {"version": 1, "name": name, "stage": {}}
        table["model"] = {k: v for k, v in table.get("model", {}).items() if k not in ("path", "revision")} | model
        return recipe_file.validated(self.path, "", table)


def is_file(source: str) -> bool:
    """Whether a target is a file of samples."""
    return Path(source).suffix.lower() in FILES and not Path(source).is_dir()


def is_run(source: str) -> bool:
    """Whether a target is a run folder."""
    return (Path(source) / RUN_FILE).is_file() and (Path(source) / RESOLVED).is_file()


def run_of(source: str) -> Path | None:
    """The run folder of a run or of `RUN#stage@step`."""
    run, hash_, _ = source.rpartition("#")
    return Path(run) if hash_ and is_run(run) else Path(source) if is_run(source) else None


def protocol(
    recipe: Path | None, sources: Sequence[str], suites: Sequence[str], metrics: Sequence[str], sets: Sequence[str]
) -> Protocol:
    """The protocol of a recipe, or else of the first run among the targets, or else the defaults.

    `suites` are names of the protocol's own, plugins, or `NAME=PATH`; with any, there are no others. Metrics too.
    Raises `UsageError` and `RecipeError`.
    """
    run = next((found for source in sources if (found := run_of(source))), None)
    path = recipe or (run / RESOLVED if run else Path("warmrl"))
    whole: dict[str, Any] = {"eval": {"metrics": PROBES}}
    if recipe or run:
        whole = recipe_file.merged(path)[1]
    table: dict[str, Any] = {key: value for key, value in whole.items() if key not in TRAINING}
    table.setdefault("answer", {"use": "boxed"})
    evaluation = {key: value for key, value in part(table, "eval").items() if key != "at"}
    if suites:
        table["suite"] = dict(suite_table(text, part(table, "suite")) for text in suites)
    if not table.get("suite"):
        raise UsageError("Nothing says what to measure it on: give `--suite NAME=PATH`, or `--recipe` with suites.")
    table["eval"] = evaluation | ({"metrics": list(metrics)} if metrics else {})
    for assignment in sets:
        recipe_file.assign(table, assignment)
    part(table, "eval")
    stated = any(one.startswith("eval.samples") for one in sets)
    if stated and not (recipe or run or metrics):
        table["eval"]["metrics"] = [one for one in PROBES if most_k([one]) <= whole_number(table["eval"]["samples"])]
    enough_samples(table, stated=stated)
    return Protocol(path, table)


def suite_table(text: str, known: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """`--suite NAME[:SPLIT][=PATH]`: a suite of the protocol, or the dataset plugin of that name."""
    what, equals, path = text.partition("=")
    name, colon, split = what.partition(":")
    own = known.get(name, {"use": name} if name else {})
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]*", name) or (equals and not path) or (colon and not split):
        raise UsageError(f"`--suite {text}`: write NAME, NAME:SPLIT or NAME:SPLIT=PATH (`geometry3k:test=DIR`).")
    return name, own | ({"path": path} if path else {}) | ({"split": split} if split else {})


def refuse_training_split(file: RecipeFile) -> None:
    """Refuse to measure on `train` only because it is a dataset's default. Raises `UsageError`."""
    for name, choice in file.recipe.suite.items():
        config: Any = choice.config
        lone = Path(str(getattr(config, "path", None) or "")).is_file()
        if config.split == "train" and "split" not in config.model_fields_set and not lone:
            raise UsageError(
                f"`--suite {name}`: its default split is `train`, the training data. Say which to measure on, as "
                f"`--suite {name}:test`, or `--suite {name}:train` if it is meant."
            )


def enough_samples(table: dict[str, Any], *, stated: bool) -> None:
    """Draw as many samples as the largest k of a metric needs, unless somebody said how many."""
    named = table["eval"].get("metrics", [])
    most = most_k(named if isinstance(named, list) else [])
    if not stated and most > whole_number(table["eval"].get("samples", 16)):
        table["eval"]["samples"] = most


def part(table: dict[str, Any], name: str) -> dict[str, Any]:
    """A table of a recipe. Raises `UsageError` when it is none."""
    found = table.get(name, {})
    if not isinstance(found, dict):
        raise UsageError(f"`{name}` is {found!r:.80}; it is a table of a recipe.")
    return found


def whole_number(value: Any) -> int:
    """A number of samples as it was given; what is none is refused where the recipe is checked."""
    return value if isinstance(value, int) else 0


def most_k(metrics: Sequence[str]) -> int:
    """The largest k of these metrics; 1 where none has one."""
    found = [re.fullmatch(r"[a-z_/]+[@^]([0-9]+)", str(one)) for one in metrics]
    return max((int(one[1]) for one in found if one), default=1)


def model_of(source: str) -> dict[str, Any]:
    """The `[model]` of a target: a run's end, `RUN#base`, `RUN#stage@step`, a folder or a Hub id (`ID@REVISION`)."""
    run = run_of(source)
    if run is None:
        name, at, revision = source.partition("@")
        hub = at and "#" not in source and not there(source)
        return {"path": name, "revision": revision} if hub else {"path": source}
    table = json.loads((run / RESOLVED).read_text())
    stage = end_of(run) if is_run(source) else source.rpartition("#")[2]
    if stage == "base":
        return {key: table["model"][key] for key in ("path", "revision") if key in table["model"]}
    return {"path": f"{run}#{stage}"}


def end_of(run: Path) -> str:
    """The last stage of a run that made a policy; `base` where none did. Raises `UsageError` if it isn't finished."""
    known = json.loads((run / RUN_FILE).read_text())
    if known.get("state") != "finished":
        raise UsageError(f"{run} is a run that has not finished; run its recipe to the end, or name `{run}#stage`.")
    stages = [name for name in known.get("stages", {}) if (run / "stages" / name / "policy").is_dir()]
    return stages[-1] if stages else "base"


def targets_of(given: Sequence[str], protocol: Protocol) -> list[Target]:
    """Targets in order, several of one arm for `ARM=TARGET,TARGET,…`. Raises `UsageError` for what is nowhere."""
    out: list[Target] = []
    for text in given:
        name, equals, rest = text.partition("=")
        if not equals or there(text):
            name, sources = "", [text]
        else:
            sources = rest.split(",")
            refuse_copies(name, sources)
        for number, source in enumerate(sources, 1):
            label = (name if len(sources) == 1 else f"{name}/{number}") if name else short(source, given)
            file = protocol.of(source, {"path": source} if is_file(source) else model_of(source))
            refuse_training_split(file)
            run = run_of(source)
            seed = json.loads((run / RESOLVED).read_text()).get("seed") if run else None
            arm = name if len(sources) > 1 else None
            if is_file(source) and not Path(source).is_file():
                raise UsageError(f"The file of samples {source} does not exist.")
            out.append(Target(label, source, file, arm, seed))
    twice = sorted({one.label for one in out if [two.label for two in out].count(one.label) > 1})
    if twice:
        raise UsageError(f"Two targets are called `{twice[0]}`; name them: `NAME=TARGET`.")
    return out


def refuse_copies(name: str, sources: Sequence[str]) -> None:
    """Refuse the seeds of an arm that are one and the same, or nothing. Raises `UsageError`."""
    found = [os.path.normpath(source) for source in sources]
    twice = next((one for one in found if found.count(one) > 1), None)
    if twice is not None or not all(sources):
        what = f"`{twice}` stands in it twice" if twice else "one of its targets is empty"
        raise UsageError(f"The arm `{name}` is made of runs with different seeds, and {what}.")


def there(path: str) -> bool:
    """Whether a file or folder of that name exists."""
    try:
        return Path(path).exists()
    except OSError:  # too long for a name
        return False


def short(source: str, given: Sequence[str]) -> str:
    """A target's last name, or all of it where another has the same."""
    last = Path(source).name or source
    return last if sum((Path(one).name or one) == last for one in given) == 1 else source
