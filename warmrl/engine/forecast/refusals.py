"""Stages that cannot fit: certainly (weights, gradients and moments alone), or by the estimate; and what would help."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from warmrl.domain.errors import UsageError
from warmrl.domain.stages import LoRATable
from warmrl.engine.forecast.machines import GIB
from warmrl.engine.forecast.memory import Demand, Lines, least, phases, total
from warmrl.engine.forecast.resources import Resources
from warmrl.engine.forecast.stage import ROOM, StagePlan, adapters
from warmrl.packed.memory import Lengths

SHARDS = (2, 4, 8, 16, 32, 64)


def refusals(resources: Resources) -> list[str]:
    """A paragraph for each stage, and evaluation, whose estimate is over the device's memory."""
    here = resources.machine
    found = [refusal(plan) for plan in resources.stages.values() if plan.lowest() > here.bytes]
    for suite, one in resources.evaluations.items():
        if total(one.lines) > here.bytes:
            found.append(
                f"`suite.{suite}` does not fit: an evaluation takes {gib(total(one.lines))} and there are "
                f"{gib(here.bytes)} of {here.name}: {largest(one.lines)}. Sample fewer at once (`[sampler] rows`, "
                "`block_size`), or take a device with more memory."
            )
    return found


def warnings(resources: Resources) -> Iterator[str]:
    """A sentence for each stage that is near the device's memory."""
    for plan in resources.stages.values():
        if ROOM * plan.machine.bytes < plan.lowest() <= plan.machine.bytes:
            yield (
                f"WARNING: `stage.{plan.name}` takes {gib(plan.lowest())} of the {gib(plan.machine.bytes)} of "
                f"{plan.machine.name}, and the estimate is good to 15 %: it may not fit."
            )


def refusal(plan: StagePlan) -> str:
    """Why a stage does not fit, and what would help, by the same arithmetic."""
    phase, lines = plan.peak(recompute=plan.config.gradient_checkpointing != "off")
    helps = "; ".join(remedies(plan)) or "no single one of LoRA, sharding and a smaller `token_budget` is enough"
    recomputed = "" if plan.config.gradient_checkpointing == "off" else ", with every layer recomputed"
    return (
        f"`stage.{plan.name}` does not fit: a process takes {gib(total(lines))} while it is at `{phase}`{recomputed}, "
        f"and there are {gib(plan.machine.bytes)} of {plan.machine.name}: {largest(lines)}. What would help: {helps}."
    )


def remedies(plan: StagePlan) -> Iterator[str]:
    """Changes that make it fit, each alone."""
    room, demand = plan.machine.bytes, plan.demand
    if plan.config.gradient_checkpointing == "off" and needed(demand, recompute=True) <= room:
        yield f'`gradient_checkpointing = "auto"` ({gib(needed(demand, recompute=True))})'
    single = plan.prompts.longest + plan.completions.longest
    if demand.row.tokens > single:
        less = single / demand.row.tokens
        small = Lengths(*(round(less * one) for one in vars(demand.row).values()))
        smaller = needed(replace(demand, row=small, several_rows=True))
        if smaller <= room:
            yield f"`token_budget = {single}` ({gib(smaller)})"
    if plan.config.lora is None:
        table = LoRATable()
        updated, _ = adapters(table, plan.config.train, plan.model)
        how = replace(demand.how, rank=table.rank, weights=demand.how.products)
        adapted = needed(replace(demand, how=how, trained=updated, reference=0))
        if adapted <= room:
            yield f"`lora = {{ rank = {table.rank} }}` ({gib(adapted)})"
    if demand.teacher:
        alone = needed(replace(demand, teacher=0, teacher_work=0))
        if alone <= room:
            yield f"a teacher that a server has, not this process ({gib(alone)})"
    for count in SHARDS:
        shared = needed(replace(demand, processes=count, sharded=True, teacher_states=demand.teacher_states // count))
        if count > demand.shards and shared <= room:
            yield f'`[launch] sharding = "fsdp2"` with {count} processes ({gib(shared)} each)'
            break


def needed(demand: Demand, *, recompute: bool = True) -> int:
    """The most bytes of any phase."""
    return max(map(total, phases(demand, recompute).values()))


def refuse_certain(resources: Resources) -> None:
    """Before a run: refuse what cannot fit however short its rows are. Raises `UsageError`."""
    for plan in resources.stages.values():
        if least(plan.demand) > plan.machine.bytes:
            raise UsageError(
                f"`stage.{plan.name}` cannot fit: weights, gradients and the optimizer's moments alone take "
                f"{gib(least(plan.demand))} a process, and there are {gib(plan.machine.bytes)} of {plan.machine.name}. "
                f"What would help: {'; '.join(remedies(plan)) or 'a larger device'}. `warmrl plan` says more."
            )


def largest(lines: Lines, count: int = 4) -> str:
    """The biggest lines, in words."""
    ordered = sorted(lines.items(), key=lambda item: -item[1])[:count]
    return ", ".join(f"{name} {gib(size)}" for name, size in ordered if size)


def gib(size: float) -> str:
    """Bytes in words."""
    for unit, name in ((GIB, "GiB"), (2**20, "MiB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size / 1024:.0f} KiB"
