"""What one training stage asks of a process: its lengths, its demand of memory, its operations and time, its files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from warmrl.domain.config import Choice
from warmrl.domain.problem import Problem
from warmrl.domain.recipe import Recipe
from warmrl.domain.sampler import SamplerConfig
from warmrl.domain.stages import LoRATable, MethodConfig
from warmrl.engine.forecast.machines import Machine
from warmrl.engine.forecast.memory import Demand, Lines, phases, total
from warmrl.engine.forecast.outline import Outline
from warmrl.engine.forecast.tokens import Completions, Prompts
from warmrl.engine.forecast.work import (
    Load,
    forward_flops,
    seconds_of_sampling,
    seconds_of_training,
    training_flops,
    vision_flops,
)
from warmrl.engine.launch import world
from warmrl.engine.policy import CACHE_BYTES as PROMPT_BYTES
from warmrl.engine.trainable import targets
from warmrl.packed.features import CACHE_BYTES
from warmrl.packed.memory import WIDE, Lengths, Training, forward_bytes, head_copy
from warmrl.packed.shapes import Shapes

# The share of a device that an estimate within 15 % may take before `auto` recomputes in the plan.
ROOM = 0.85
WIDTHS = {"float32": 4, "bfloat16": 2}


@dataclass(frozen=True)
class StagePlan:
    """One stage, planned.

    Args:
        name: The stage's.
        config: Its settings.
        model: Its policy's outline.
        teacher: Its teacher's, when that is loaded here and its shapes are at hand.
        steps: Steps.
        prompts: Prompts' lengths.
        completions: Completions' lengths.
        demand: What it asks of a process.
        machine: What it runs on.
        processes: On how many.
        rows: Completions sampled at once.
        problems: Problems that it reads.
    """

    name: str
    config: MethodConfig
    model: Outline
    teacher: Outline | None
    steps: int
    prompts: Prompts
    completions: Completions
    demand: Demand
    machine: Machine
    processes: int
    rows: int
    problems: int = 0

    @property
    def prompt_bytes(self) -> int:
        """What encoded prompts come to in host memory, which are kept for the next time."""
        seen = min(self.problems, self.steps * self.config.prompts_per_step)
        return min(PROMPT_BYTES, round(seen * self.prompts.bytes))

    @property
    def samples(self) -> int:
        """Completions of a prompt."""
        return getattr(self.config, "samples_per_prompt", 1)

    @property
    def own_teacher(self) -> bool:
        """Whether the model teaches itself: scores are needed, and no teacher is chosen."""
        return bool(self.config.teacher_needs()) and not isinstance(getattr(self.config, "teacher", None), Choice)

    @property
    def load(self) -> Load:
        """One step's tokens, over all processes."""
        prompts, completions = self.prompts, self.completions
        many = self.config.prompts_per_step
        return Load(many, self.samples, prompts.tokens, completions.tokens, prompts.image_tokens)

    @property
    def recomputes(self) -> bool:
        """Whether layers are recomputed: as the recipe says, or when they would not fit."""
        setting = self.config.gradient_checkpointing
        if setting != "auto":
            return setting == "on"
        return total(self.peak(recompute=False)[1]) > ROOM * self.machine.bytes

    def peak(self, recompute: bool | None = None) -> tuple[str, Lines]:
        """The phase that takes the most, and its lines."""
        found = phases(self.demand, self.recomputes if recompute is None else recompute)
        name = max(found, key=lambda phase: total(found[phase]))
        return name, found[name]

    def lowest(self) -> int:
        """Bytes at the peak with everything recomputed that the recipe lets be."""
        return total(self.peak(recompute=self.config.gradient_checkpointing != "off")[1])

    def flops(self) -> dict[str, float]:
        """Operations of one step by phase, over all processes."""
        shapes, load, config = self.model.shapes, self.load, self.config
        adapters, forward = config.lora is not None, forward_flops(self.model.shapes, self.load)
        out = {"rollout": forward} if "sampler" in config.reads else {}
        scoring = config.scoring_passes() * forward + (forward_flops(self.teacher.shapes, load) if self.teacher else 0)
        out |= {"score": scoring} if scoring else {}
        parts = self.demand.how.parts
        out["train"] = training_flops(shapes, load, parts, adapters=adapters, recompute=self.recomputes)
        return out

    def seconds(self) -> float | None:
        """Of all steps; None where the device's peak is not known."""
        found = self.flops()
        sampling: float | None = 0.0
        if found.pop("rollout", None):
            width = self.demand.how.products
            sampling = seconds_of_sampling(
                self.model.shapes, self.load, self.machine, self.processes,
                rows=self.rows, longest=self.completions.longest, width=width,
            )  # fmt: skip
        training = seconds_of_training(sum(found.values()), self.machine, self.processes)
        return None if training is None or sampling is None else self.steps * (training + sampling)

    def checkpoint_bytes(self) -> int:
        """One checkpoint: what trains, its moments, and a method's copy of the weights."""
        return self.demand.trained * 3 * WIDE + self.demand.snapshot

    def policy_bytes(self) -> int:
        """One policy that is kept: all weights, as they are held."""
        return self.model.shapes.total * self.demand.how.weights


def planned(
    name: str,
    choice: Choice,
    recipe: Recipe,
    machine: Machine,
    models: tuple[Outline, Outline | None],
    lengths: tuple[Prompts, Completions],
    problems: Sequence[Problem],
) -> StagePlan:
    """Put a stage's plan together. Raises `UsageError` for adapters on matrices that are not there."""
    config = choice.config
    assert isinstance(config, MethodConfig)
    model, teacher = models
    processes = world(recipe.launch.processes)
    sharded = recipe.launch.sharding == "fsdp2"
    per_epoch = math.ceil(getattr(config, "epochs", 1) * len(problems) / config.prompts_per_step)
    how = training(config, model, recipe.model.dtype, machine)
    prompts, completions = lengths
    plan = StagePlan(
        name, config, model, teacher, config.steps or per_epoch, prompts, completions,
        Demand(model.shapes, how, Lengths(0, 0, 0, 0, 0), 0, several_rows=False), machine, processes,
        getattr(recipe.sampler.config, "rows", 2**31), len(problems),
    )  # fmt: skip
    row, several = row_of(plan)
    width = WIDTHS[recipe.model.dtype]
    updated, merged = trained(config, model)
    on_cpu = not machine.fused_update
    frozen = not {"vision", "projector"} & how.parts and prompts.image_tokens
    images = len(problems) * prompts.image_tokens * model.shapes.decoder.hidden * width
    demand = replace(
        plan.demand,
        row=row,
        trained=updated,
        several_rows=several,
        processes=processes,
        sharded=sharded,
        fused_update=machine.fused_update,
        sampling=sampling(recipe, plan, width) if "sampler" in config.reads else 0,
        gathers=recipe.sampler.config.gathers,  # type: ignore[attr-defined]
        scores=config.scoring_passes() > 0,
        reference=model.shapes.total * width if "reference" in config.holds() and config.lora is None else 0,
        snapshot=model.shapes.total * how.weights if "snapshot" in config.holds() else 0,
        features=min(CACHE_BYTES // processes, round(images)) if frozen and on_cpu else 0,
        merged=merged * how.weights if on_cpu else 0,
    )
    if teacher:
        weights, states, work = of_teacher(plan, teacher.shapes, row, width)
        spread = config.teacher.config.makes_do()  # type: ignore[attr-defined]
        demand = replace(demand, teacher=0 if spread else weights, teacher_states=states, teacher_work=work)
    elif plan.own_teacher:
        _, states, work = of_teacher(plan, model.shapes, row, width)
        demand = replace(demand, teacher_states=states, teacher_work=work)
    return replace(plan, demand=demand)


def training(config: MethodConfig, model: Outline, dtype: str, machine: Machine) -> Training:
    """What trains, and in which precision: float32 weights in full, the model's `dtype` under adapters."""
    products = WIDTHS[dtype]
    weights = WIDE if config.lora is None else products
    has = {"language"} | {part for part in ("projector", "vision") if model.shapes.parameters[part]}
    device = "cuda" if machine.fused_update else "cpu"
    return Training(
        parts=frozenset(config.train) & frozenset(has),
        rank=config.lora.rank if config.lora else 0,
        weights=weights,
        products=products,
        teacher="full" in config.teacher_needs(),
        head_copy=head_copy(device, weights, products),
    )


def trained(config: MethodConfig, model: Outline) -> tuple[int, int]:
    """Parameters that the optimizer updates, and those of the matrices that adapters are added to."""
    if config.lora is None:
        return model.shapes.trained([part for part in config.train if part in model.shapes.parameters]), 0
    return adapters(config.lora, config.train, model)


def adapters(lora: LoRATable, parts: Sequence[str], model: Outline) -> tuple[int, int]:
    """Parameters of adapters (rank x (in + out) for each matrix), and of the matrices under them."""
    packed = model.policy.packed
    layers: list[Any] = [packed.base.get_submodule(name) for name in targets(packed, parts, lora.targets)]
    return (
        sum(lora.rank * (one.in_features + one.out_features) for one in layers),
        sum(one.weight.numel() for one in layers),
    )


def row_of(plan: StagePlan) -> tuple[Lengths, bool]:
    """The largest row, filled with groups of mean length up to the budget, and whether an update has several rows.

    Completions as long as may be make more rows, not larger ones; one that is over the budget has a row of its own,
    and so has a group that stays whole.
    """
    shapes, load, config = plan.model.shapes, plan.load, plan.config
    budget = config.token_budget
    own = replace(load, prompts=load.prompts / config.updates_per_rollout / plan.processes)
    longest = replace(own, completion=plan.completions.longest)
    together = plan.samples if config.whole_groups and shapes.shares else 1
    single = plan.prompts.longest + together * plan.completions.longest
    tokens = max(min(budget, math.ceil(longest.tokens)), single)
    group = load.tokens / load.prompts
    if not shapes.shares:
        tokens, group = single, single
    shown = max(1.0, tokens / group)
    scored = tokens * load.scored / load.tokens
    spans = shown * plan.prompts.tokens + scored / max(load.completion, 1) * (plan.prompts.tokens + load.completion)
    keys = round(spans) if plan.samples > 1 else tokens
    patches = math.ceil(shown * plan.prompts.image_tokens * shapes.patches)
    return Lengths(tokens, tokens, keys, math.ceil(scored), patches), longest.tokens > budget or not shapes.shares


def sampling(recipe: Recipe, plan: StagePlan, width: int) -> int:
    """What the sampler takes for its largest block."""
    config = recipe.sampler.config
    assert isinstance(config, SamplerConfig)
    return config.takes(
        plan.model.shapes,
        device=plan.machine.bytes,
        width=width,
        completions=min(config.block_size, plan.config.prompts_per_step) * plan.samples,
        per_prompt=plan.samples,
        prompt=plan.prompts.longest,
        longest=plan.completions.longest,
    )


def of_teacher(plan: StagePlan, shapes: Shapes, row: Lengths, width: int) -> tuple[int, int, int]:
    """A teacher in the process: bytes of its weights, of what it says of a step's tokens, of its own pass."""
    how = Training(frozenset(), 0, width, width)
    states = plan.load.scored / plan.processes * shapes.decoder.hidden * width if plan.demand.how.teacher else 0
    return shapes.total * width, round(states), forward_bytes(shapes, row, how)


def image_pass(plan: StagePlan) -> float:
    """Operations of the one pass over all images that a frozen tower needs in a stage."""
    if plan.demand.how.parts & {"vision", "projector"}:
        return 0
    return vision_flops(plan.model.shapes, replace(plan.load, prompts=plan.load.prompts * plan.steps))
