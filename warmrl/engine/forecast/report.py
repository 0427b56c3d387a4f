"""The resources of a recipe as plain values, for `warmrl plan --json` and its tables."""

from __future__ import annotations

from typing import Any

from warmrl.engine.forecast.memory import least, phases, total
from warmrl.engine.forecast.refusals import refusals, warnings
from warmrl.engine.forecast.resources import EvaluationPlan, Resources
from warmrl.engine.forecast.stage import StagePlan, image_pass
from warmrl.engine.launch import world


def resources_report(resources: Resources) -> dict[str, Any]:
    """Everything, in bytes, tokens, operations and seconds. Raises `UsageError` for a model or teacher that is none."""
    stages = {name: of_stage(plan) for name, plan in resources.stages.items()}
    suites = {name: of_evaluation(one) for name, one in resources.evaluations.items()}
    here = resources.machine
    times = [one["seconds"] for one in stages.values()]
    times += [one["seconds"] and one["points"] * one["seconds"] for one in suites.values()]
    return {
        "device": {"name": here.name, "bytes": here.bytes, "flops": here.peak, "bandwidth": here.bandwidth},
        "processes": world(resources.entries.file.recipe.launch.processes),
        "stages": stages,
        "evaluations": suites,
        "seconds": None if not times or None in times else sum(times),
        "disk": resources.disk(),
        "assumptions": list(resources.assumptions()) if stages or suites else [],
        "warnings": list(warnings(resources)),
        "unknown": list(dict.fromkeys(resources.unknown)),
        "refused": refusals(resources),
    }


def of_stage(plan: StagePlan) -> dict[str, Any]:
    """One stage."""
    phase, lines = plan.peak()
    found = phases(plan.demand, plan.recomputes)
    flops = plan.flops()
    return {
        "parameters": dict(plan.model.shapes.parameters),
        "trained": plan.demand.trained,
        "phase": phase,
        "peak": total(lines),
        "lines": {name: size for name, size in lines.items() if size},
        "phases": {name: total(one) for name, one in found.items()},
        "least": least(plan.demand),
        "prompt_bytes": plan.prompt_bytes,
        "recomputes": plan.recomputes,
        "row": vars(plan.demand.row),
        "steps": plan.steps,
        "prompt_tokens": plan.prompts.tokens,
        "completion_tokens": plan.completions.tokens,
        "tokens_per_step": plan.load.tokens,
        "flops_per_step": flops,
        "flops": plan.steps * sum(flops.values()) + image_pass(plan),
        "seconds": plan.seconds(),
    }


def of_evaluation(one: EvaluationPlan) -> dict[str, Any]:
    """One suite on one checkpoint."""
    return {
        "points": one.points,
        "lines": dict(one.lines),
        "peak": total(one.lines),
        "answers": one.answers,
        "answer_tokens": one.completions.tokens,
        "flops": one.flops,
        "seconds": one.seconds,
    }
