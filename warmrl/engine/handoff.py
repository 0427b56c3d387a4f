"""The hand-off: which of a stage's checkpoints is handed on, by a rule of the recipe. No torch.

A choice is a file beside what the stage made, named by all that it depends on. What depends on the stage's policy has
the key of the chosen step, so rules that choose the same step share what comes after.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from warmrl.domain.errors import DataError
from warmrl.domain.handoff import LOSS, HandoffTable
from warmrl.domain.stages import MethodConfig
from warmrl.engine.keys import key_of, semantic
from warmrl.engine.storage import write_json
from warmrl.engine.suites import Suite

if TYPE_CHECKING:
    from warmrl.engine.entries import Entries

HANDOFF, LOSSES = "handoff.json", "losses.json"
Table = dict[str, Any]


def handoff_file(entries: Entries, stage: str) -> Path:
    """Where a rule's choice is kept: beside what the stage made, named by all that the choice depends on."""
    rule, registry = rule_of(entries, stage), entries.file.registry
    suite = entries.suite(rule.on)
    drawn = entries.draws(f"{stage}@end", rule.on, rule.sampled(), rule.samples)
    parts = {
        "rule": rule.model_dump(mode="json"),
        "answers": [one.folder.name for one in drawn],
        "data": entries.data_parts(entries.table_of(rule.on)),
        "style": semantic(suite.style_choice, registry),
        "grader": semantic(suite.graders[0], registry),
    }
    return entries.stage_folder(stage) / f"handoff-{key_of(parts)}.json"


def rule_of(entries: Entries, stage: str) -> HandoffTable:
    """The rule of a stage that has one."""
    rule = entries.rule(stage)
    assert rule is not None
    return rule


def candidates(entries: Entries, stage: str) -> dict[str, int]:
    """The checkpoints that a stage's rule chooses from, each with its step, in order; the end is the last."""
    config, record = entries.file.recipe.stage[stage].config, entries.stage_folder(stage) / "done.json"
    assert isinstance(config, MethodConfig)
    total = json.loads(record.read_text())["steps"] if record.exists() else config.steps
    return {f"{stage}@{step}": step for step in rule_of(entries, stage).steps(total)} | {f"{stage}@end": total}


def losses_folder(entries: Entries, checkpoint: str, suite: str) -> Path:
    """Where the losses of one checkpoint on a suite's worked answers are kept."""
    registry = entries.file.registry
    parts = {
        "losses of": entries.answers_key(checkpoint),
        "data": entries.data_parts(entries.table_of(suite)),
        "style": semantic(entries.suite(suite).style_choice, registry),
        "model": semantic(entries.file.recipe.model, registry, skip=frozenset({"path", "revision"})),
    }
    return entries.store / f"losses-{key_of(parts)}"


def handoff_folders(entries: Entries) -> Iterator[Path]:
    """The entries that hand-off rules look at. Raises `DataError` for problems that a rule cannot use."""
    for stage in entries.order():
        rule = entries.rule(stage)
        if rule is None:
            continue
        refuse_unsolved(stage, rule, entries.suite(rule.on))
        for one in candidates(entries, stage):
            yield from (draws.folder for draws in entries.draws(one, rule.on, rule.sampled(), rule.samples))
            if LOSS in rule.metrics():
                yield losses_folder(entries, one, rule.on)


def refuse_unsolved(stage: str, rule: HandoffTable, suite: Suite) -> None:
    """Refuse to measure the loss of worked answers that are not there. Raises `DataError`."""
    lacking = [name for name, problem in suite.problems.items() if problem.solution is None]
    if LOSS in rule.metrics() and lacking:
        raise DataError(
            f"`stage.{stage}.handoff` reads the loss on the worked answers of `{rule.on}`, and {len(lacking)} of its "
            f"{len(suite.problems)} problems have none (first: `{lacking[0]}`); give problems with a `solution`, or "
            'choose by a metric (`by = "pass@16"`).'
        )


def loss_metric(folder: Path, suite: Suite, names: Sequence[str]) -> Table:
    """The losses that are kept as a metric of these problems: nats per token of each, weighed by its tokens."""
    kept = json.loads((folder / LOSSES).read_text())
    return {
        "values": [kept[name][0] / kept[name][1] for name in names],
        "weights": [kept[name][1] * suite.problems[name].weight for name in names],
        "unit": "nats",
        "higher_is_better": False,
    }


def mean(metric: Mapping[str, Any]) -> float | None:
    """The weighted mean over problems; None where no problem has a value."""
    there = [(v, w) for v, w in zip(metric["values"], metric["weights"], strict=True) if v is not None and w]
    weight = math.fsum(w for _, w in there)
    return math.fsum(v * w for v, w in there) / weight if weight else None


def choice(stage: str, rule: HandoffTable, steps: Mapping[str, int], evaluations: Sequence[Mapping[str, Any]]) -> Table:
    """What a rule chooses from evaluations of the candidates: all values, who meets the floor, and the chosen one.

    The best by `rule.by`, of equals the earliest; the last where neither direction is better. `chosen` is None where
    no candidate meets the floor.
    """
    better = {name: one["higher_is_better"] for name, one in evaluations[0]["metrics"].items()}
    found = []
    for one in evaluations:
        values = {name: mean(one["metrics"][name]) for name in rule.metrics()}
        meets = values[rule.by] is not None and all(
            met(values[name], floor, better[name]) for name, floor in rule.floors().items()
        )
        name = one["checkpoint"]
        found.append({"checkpoint": name, "step": steps[name], "values": values, "meets": meets})
    return {
        "stage": stage,
        "rule": rule.model_dump(mode="json", exclude_none=True),
        "problems": len(evaluations[0]["problems"]),
        "higher_is_better": {name: better[name] for name in rule.metrics()},
        "candidates": found,
        "chosen": best([one for one in found if one["meets"]], rule.by, better[rule.by]),
    }


def met(value: float | None, floor: float, higher_is_better: bool | None) -> bool:
    """Whether a value is as good as the floor: at most that where less is better, otherwise at least."""
    return value is not None and (value <= floor if higher_is_better is False else value >= floor)


def best(fit: Sequence[Mapping[str, Any]], by: str, higher_is_better: bool | None) -> str | None:
    """The chosen of the candidates that meet the floor, which are in order."""
    if not fit:
        return None
    if higher_is_better is None:
        return str(fit[-1]["checkpoint"])
    sign = 1 if higher_is_better else -1
    return str(max(fit, key=lambda one: sign * one["values"][by])["checkpoint"])


def keep_choice(entries: Entries, record: Table) -> None:
    """Write a choice where later runs look for it."""
    write_json(handoff_file(entries, record["stage"]), record)


def chosen_sentence(record: Mapping[str, Any]) -> str:
    """What was handed on, in a sentence."""
    by = record["rule"]["by"]
    values = {
        one["checkpoint"]: shown(one["values"][by]) + ("" if one["meets"] else " below the floor")
        for one in record["candidates"]
    }
    chosen = record["chosen"]
    rest = ", ".join(f"{name} {value}" for name, value in values.items() if name != chosen) or "no other"
    return (
        f"Stage `{record['stage']}` hands on {chosen}: {by} {values[chosen]} on `{record['rule']['on']}` (candidates "
        f"besides: {rest})."
    )


def refusal(record: Mapping[str, Any], rule: HandoffTable, run: Path) -> str:
    """Why the run ends here, in a paragraph."""
    asked = " and ".join(f"`{name}` {side(record, name)} {floor:g}" for name, floor in rule.floors().items())
    values = "; ".join(
        f"{one['checkpoint']}: " + ", ".join(f"{name} {shown(value)}" for name, value in one["values"].items())
        for one in record["candidates"]
    )
    stage = record["stage"]
    return (
        f"Stage `{stage}` hands nothing on: no candidate meets the floor of its rule on `{rule.on}` "
        f"({asked or f'a value of `{rule.by}`'}). They are: {values}. So nothing that starts from `{stage}` was begun; "
        f"the report of what there is, and every candidate's answers (`handoffs/{stage}`), are in {run}. Train "
        f"`{stage}` differently, or change `stage.{stage}.handoff.floor`: the same command then goes on without "
        "training it again."
    )


def side(record: Mapping[str, Any], name: str) -> str:
    """Whether a floor is the least or the most."""
    return "at most" if record["higher_is_better"][name] is False else "at least"


def shown(value: float | None) -> str:
    """A value in a sentence."""
    return "unknown" if value is None else f"{value:.4g}"
