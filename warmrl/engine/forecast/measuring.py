"""The process that measures speeds: a few steps of each stage and a block of each suite, in a folder that goes."""

from __future__ import annotations

import json
import shutil
import signal
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

from warmrl.domain.errors import WarmrlError
from warmrl.domain.recipe import Recipe
from warmrl.domain.stages import MethodConfig
from warmrl.engine.entries import Entries
from warmrl.engine.experiment import Experiment
from warmrl.engine.forecast.speeds import Speed, Speeds, answers_key, stage_speed_key
from warmrl.engine.launch import end_with_parent
from warmrl.engine.progress import Progress
from warmrl.engine.recipe_file import validated
from warmrl.engine.run_folder import RunFolder
from warmrl.engine.storage import write_json
from warmrl.engine.usage import Usage

# Steps of a stage, the first of which is slower and does not count; problems of each dataset, and of a suite's block.
STEPS, PROBLEMS, BLOCK = 5, 64, 64


class Steps(Progress):
    """Notes when steps end."""

    def __init__(self) -> None:
        self.ends: list[Usage] = []

    def stage_started(self, name: str, use: str, steps: int) -> None:
        """Forget the stage before."""
        self.ends.clear()

    def step(self, row: dict[str, Any], timing: dict[str, Any]) -> None:
        """Note the moment."""
        self.ends.append(Usage.now())


def trimmed(table: dict[str, Any], recipe: Recipe) -> dict[str, Any]:
    """The recipe with few steps, problems and answers, and nothing evaluated but the base."""
    out = deepcopy(table)
    out.pop("probe", None)
    out.setdefault("eval", {})["at"] = ["base"]
    out["eval"].pop("generalization", None)
    for kind, most in (("data", PROBLEMS), ("suite", BLOCK)):
        for one in out.get(kind, {}).values():
            one["limit"] = min(one.get("limit") or most, most)
    for name, one in out["stage"].items():
        config: Any = recipe.stage[name].config
        fields = ["policy", *config.policies()]
        one |= {
            field: getattr(config, field).partition("@")[0] for field in fields if "#" not in getattr(config, field)
        }
        if isinstance(config, MethodConfig):
            for late in ("handoff", "hold_out"):
                one.pop(late, None)
            one["steps"] = min(STEPS, config.steps or STEPS)
    return out


def try_all(requests: list[dict[str, Any]], folder: Path) -> Speeds:
    """Everything that is asked for; what goes wrong with one recipe leaves the others alone."""
    found = Speeds()
    for number, one in enumerate(requests):
        path, table = Path(one["path"]), one["table"]
        whole = Entries(validated(path, "", table), folder / "store")
        small = Entries(validated(path, "", trimmed(table, whole.file.recipe)), folder / "store")
        steps = Steps()
        experiment = Experiment(small, RunFolder(folder / f"run-{number}"), steps)
        try:
            experiment.whole(lambda e=experiment, s=steps, w=whole, o=one: try_one(e, s, w, o, found))  # type: ignore[misc]
        except WarmrlError as error:
            found.reasons.append(f"not all of `{small.file.recipe.name}` could be timed: {error}")
    found.peak_bytes = Usage.now().peak_bytes
    return found


def try_one(experiment: Experiment, steps: Steps, whole: Entries, asked: dict[str, Any], found: Speeds) -> None:
    """One recipe's stages and, once, its suites."""
    small = experiment.entries
    experiment.folder.begin(small)
    if asked["suites"]:
        try_suites(experiment, whole, found)
    for name in small.order():
        config, before = small.file.recipe.stage[name].config, Usage.now()
        steps.ends.clear()
        experiment.stage(name)
        spent = Usage.now().since(before)
        if name not in asked["stages"]:
            continue
        if isinstance(config, MethodConfig) and len(steps.ends) > 1:
            each = steps.ends[-1].since(steps.ends[0])
            many = len(steps.ends) - 1
        else:
            each, many = spent, len(small.problems(name)) or 1
        found.known[stage_speed_key(whole, name)] = per(spent, each, many, len(steps.ends) or many)


def per(spent: Usage, each: Usage, many: int, all_of_them: int) -> Speed:
    """What is spent once, and on each."""
    one, cpu = each.seconds / many, each.cpu_seconds / many
    return Speed(max(0.0, spent.seconds - one * all_of_them), one, max(0.0, spent.cpu_seconds - cpu * all_of_them), cpu)


def try_suites(experiment: Experiment, whole: Entries, found: Speeds) -> None:
    """A block of each suite; what comes before it, and the report after it, is a run's own."""
    small, recipe = experiment.entries, experiment.recipe
    first = next(iter(recipe.suite))
    experiment.answers("base", first, ["accuracy"])  # opens the model and starts the graders
    start = Usage.now()
    for name in recipe.suite:
        before = Usage.now()
        experiment.answers("base", name)
        many = sum(one.count for one in small.draws("base", name) if one.kind == "sampled" or name != first)
        spent = Usage.now().since(before)
        answers = max(many, 1) * len(small.suite(name).problems)
        found.known[answers_key(whole, name)] = Speed(0.0, spent.seconds / answers, 0.0, spent.cpu_seconds / answers)
    before = Usage.now()
    experiment.folder.report(small, ["base"])
    report = Usage.now().since(before)
    evaluated = len(whole.checkpoints())
    found.known["run"] = Speed(
        start.seconds + evaluated * report.seconds, 0.0, start.cpu_seconds + evaluated * report.cpu_seconds, 0.0
    )


def main(asked_file: Path, told_file: Path) -> None:
    """Measure what a file asks for. Ended by a signal, or with the process that waits for it, it leaves no folder."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda came, _: sys.exit(128 + came))
    try:
        end_with_parent()
        found = try_all(json.loads(asked_file.read_text()), told_file.parent)
        write_json(told_file, found.table() | {"reasons": found.reasons})
    except SystemExit:
        shutil.rmtree(told_file.parent, ignore_errors=True)
        raise


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
