"""What a warm start is planned to spend, from the recipe: prompts, samples, tokens, updates, operations. No torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

from warmrl.domain.config import choices_in
from warmrl.domain.recipe import Recipe
from warmrl.domain.stages import CuratorConfig, MethodConfig, StageConfig
from warmrl.engine.entries import Entries
from warmrl.engine.recipe_rules import data_of, inputs_of, stage_config, stage_order

# A completion's share of `max_tokens` where nothing is known: 400 of 1024, the lengths of docs/performance.md's W1.
SHARE = 0.4


@dataclass(frozen=True)
class Budget:
    """Amounts of one stage, or of several; `at_most` where they depend on how much a curator will make."""

    prompts: int = 0
    """Prompts that are drawn, each as often as it is; of a curator the problems that it goes through."""
    samples: int = 0
    """Completions that the policy, or an earlier stage's, draws."""
    tokens: float = 0.0
    """Tokens that the student trains on."""
    teacher_tokens: float = 0.0
    """Tokens that a teacher writes or scores."""
    updates: int = 0
    flops: float = 0.0
    at_most: bool = False

    def __add__(self, other: Budget) -> Budget:
        """Both."""
        sums = {name: getattr(self, name) + getattr(other, name) for name in AMOUNTS}
        return Budget(**sums, at_most=self.at_most or other.at_most)


AMOUNTS = ("prompts", "samples", "tokens", "teacher_tokens", "updates", "flops")


def before(recipe: Recipe, outcome: str) -> list[str]:
    """The stages that a stage needs, directly or not, in order: a warm start."""
    found, open_ = set[str](), [outcome]
    while open_:
        new = set(inputs_of(recipe, open_.pop())) - found
        found |= new
        open_ += sorted(new)
    return [name for name in stage_order(recipe) if name in found]


def problems_of(entries: Entries, stage: str) -> tuple[int, bool]:
    """How many problems a stage reads, and whether that is only the most that curators can make of theirs."""
    recipe, count, at_most = entries.file.recipe, 0, False
    for name in data_of(stage_config(recipe.stage[stage])):
        if name in recipe.data:
            count += len(entries.dataset(f"data.{name}").problems())
            continue
        curator = name.partition("/")[0]
        count += getattr(stage_config(recipe.stage[curator]), "keep", 1) * problems_of(entries, curator)[0]
        at_most = True
    return count, at_most


def steps_of(config: MethodConfig, problems: int) -> int:
    """Steps of a stage: as set, or what its `epochs` make of its problems, without those that it holds out."""
    read = problems - round(getattr(config, "hold_out", 0.0) * problems)
    return config.steps or max(1, math.ceil(getattr(config, "epochs", 1) * read / config.prompts_per_step))


def stage_budget(entries: Entries, name: str, work: Mapping[str, Any] | None = None) -> Budget:
    """One stage's amounts, whole. `work` is its part of a plan of resources: tokens, operations."""
    config = stage_config(entries.file.recipe.stage[name])
    if isinstance(config, CuratorConfig):
        return curator_budget(entries, name, config)
    if not isinstance(config, MethodConfig):
        return Budget()
    by_epochs = not config.steps
    problems, at_most = problems_of(entries, name) if by_epochs else (0, False)
    steps = steps_of(config, problems)
    prompts = steps * config.prompts_per_step
    completions = prompts * getattr(config, "samples_per_prompt", 1)
    tokens = completions * work["completion_tokens"] if work else 0.0
    return Budget(
        prompts=prompts,
        samples=completions if "sampler" in config.reads else 0,
        tokens=tokens,
        teacher_tokens=tokens if config.teacher_needs() else 0.0,
        updates=steps * config.updates_per_rollout,
        flops=work["flops"] if work else 0.0,
        at_most=at_most,
    )


def curator_budget(entries: Entries, name: str, config: CuratorConfig) -> Budget:
    """What a curator goes through, and draws: from policies, if it names any besides `policy`, and from teachers."""
    problems, at_most = problems_of(entries, name)
    samples = problems * getattr(config, "samples_per_prompt", 1)
    tokens = samples * SHARE * getattr(config, "max_tokens", 0)
    others = config.policies()
    out = Budget(prompts=problems, samples=samples * (1 + len(others)) if others else 0, at_most=at_most)
    writers = [one for one in choices_in(config) if one.kind == "teacher"]
    return replace(out, teacher_tokens=tokens * len(writers)) if writers else out


def warm_budget(entries: Entries, outcome: str, work: Mapping[str, Mapping[str, Any]] | None = None) -> Budget:
    """All of an arm's warm start, with steps behind the one that is handed on. `work`: a plan's stages by name."""
    amounts = (stage_budget(entries, one, (work or {}).get(one)) for one in before(entries.file.recipe, outcome))
    return reduce(Budget.__add__, amounts, Budget())


def per_step(config: StageConfig, amount: str, work: Mapping[str, Any] | None = None) -> float:
    """How much of an amount one step of a training stage takes."""
    assert isinstance(config, MethodConfig)
    completions = config.prompts_per_step * getattr(config, "samples_per_prompt", 1)
    found = {
        "prompts": config.prompts_per_step,
        "samples": completions if "sampler" in config.reads else 0,
        "updates": config.updates_per_rollout,
        "tokens": completions * work["completion_tokens"] if work else 0,
        "flops": work["flops"] / work["steps"] if work else 0,
    }
    return float(found[amount])
