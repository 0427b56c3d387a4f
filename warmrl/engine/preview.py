"""What a recipe would do: stages and evaluations that would run or be reused, and rewards tried on real rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from warmrl.domain.handoff import LOSS
from warmrl.domain.names import CheckpointName
from warmrl.domain.stages import MethodConfig
from warmrl.engine.entries import Entries
from warmrl.engine.handoff import LOSSES, candidates, losses_folder, refuse_unsolved
from warmrl.engine.probes import table_of
from warmrl.engine.recipe_rules import data_of, stage_config
from warmrl.engine.trial import try_rewards


def preview(entries: Entries) -> dict[str, Any]:
    """What a recipe would do, as plain values. Reads datasets and the store; loads no weights."""
    file = entries.file
    return {
        "recipe": file.recipe.name,
        "stages": [stage_preview(entries, name) for name in entries.order()],
        "evaluations": [
            *(one for stage in entries.order() for one in handoff_preview(entries, stage)),
            *(
                eval_preview(entries, checkpoint, suite)
                for checkpoint in entries.checkpoints()
                for suite in file.recipe.suite
            ),
            *probe_preview(entries),
        ],
        "findings": try_rewards(entries),
    }


def stage_preview(entries: Entries, name: str) -> dict[str, Any]:
    """One stage: how much, and whether it has to run."""
    choice = entries.file.recipe.stage[name]
    config = stage_config(choice)
    here = entries.can_tell()
    why = entries.missing(name, entries.kept_steps(name)) if here else "weights of a model or teacher are not here"
    steps = config.steps if isinstance(config, MethodConfig) else 0
    prompts = config.prompts_per_step if isinstance(config, MethodConfig) else 0
    return {
        "stage": name,
        "use": choice.use,
        "policy": config.policy,
        "data": ", ".join(data_of(config)),
        "steps": steps or "",
        "completions": steps * prompts * getattr(config, "samples_per_prompt", 1) or "",
        "key": entries.stage_key(name) if here else None,
        "reused": why is None,
        "why": "reused" if why is None else f"runs: {why}",
    }


def eval_preview(
    entries: Entries, checkpoint: str, suite: str, metrics: Sequence[str] | None = None, samples: int | None = None
) -> dict[str, Any]:
    """One evaluation: how much, and whether its samples are there."""
    problems = len(entries.suite(suite).problems)
    done = entries.can_tell() and entries.sampled(checkpoint, suite, metrics, samples)
    return {
        "checkpoint": checkpoint,
        "suite": suite,
        "problems": problems,
        "answers": problems * entries.answers_each(metrics, samples),
        "reused": done,
        "why": "reused" if done else "runs",
    }


def handoff_preview(entries: Entries, stage: str) -> Iterator[dict[str, Any]]:
    """The evaluations of a stage's candidates, by the rule of its hand-off."""
    rule = entries.rule(stage)
    if rule is None:
        return
    refuse_unsolved(stage, rule, entries.suite(rule.on))
    for one in candidates(entries, stage):
        found = eval_preview(entries, one, rule.on, rule.sampled(), rule.samples)
        if LOSS in rule.metrics() and not (
            entries.can_tell() and (losses_folder(entries, one, rule.on) / LOSSES).exists()
        ):
            found |= {"reused": False, "why": "runs"}
        yield found | {"why": f"{found['why']}, for the hand-off of `{stage}`"}


def probe_preview(entries: Entries) -> Iterator[dict[str, Any]]:
    """The points of the probe, a row a stage."""
    by_stage: dict[str, list[str]] = {}
    for one in entries.probes():
        by_stage.setdefault(CheckpointName.parse(one).stage, []).append(one)
    for stage, points in by_stage.items():
        table = table_of(entries)
        each = [eval_preview(entries, one, table.on, table.metrics, table.samples) for one in points]
        lacking = sum(not one["reused"] for one in each)
        count = f"{len(points)} point{'s' if len(points) > 1 else ''}"
        yield {
            **each[0],
            "checkpoint": stage,
            "answers": sum(one["answers"] for one in each),
            "reused": not lacking,
            "why": f"{'runs' if lacking else 'reused'}, probe, {count}",
        }
