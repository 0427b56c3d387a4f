"""Whether the warm starts of a study's arms are planned to spend the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from warmrl.engine.budget import Budget, per_step, stage_budget, warm_budget
from warmrl.engine.fairness_settings import Arm
from warmrl.engine.recipe_rules import stage_config
from warmrl.engine.study_file import StudyFile

# Budgets this near to one another are the same: steps are whole numbers.
NEAR = 0.02
# What needs lengths of completions.
NEEDS_LENGTHS = ("tokens", "flops")


def match_row(study: StudyFile, arms: Mapping[str, Arm], work: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The row `match`: each arm's planned amount of the budget, and in `differ` the arms that miss the control's."""
    amount = study.study.match
    if work is None and amount in NEEDS_LENGTHS:
        work = {name: planned_work(arm) for name, arm in arms.items()}
    work = work or {}
    budgets = {
        name: warm_budget(arm.entries, study.study.outcome, work.get(name))
        for name, arm in arms.items()
        if arm.entry is not None
    }
    control = study.study.control if study.study.control in budgets else next(iter(budgets), None)
    values: dict[str, Any] = dict.fromkeys(arms, "no warm start")
    if control is None:
        return {"path": "match", "arms": values, "differ": [], "reason": "no arm has a warm start"}
    target = getattr(budgets[control], amount)
    odd, words = [], []
    for name, budget in budgets.items():
        own = getattr(budget, amount)
        values[name] = ("at most " if budget.at_most else "") + f"{own:,.0f} {amount}"
        if abs(own - target) > NEAR * max(target, 1):
            odd.append(name)
            steps = matching_steps(arms[name], budget, target, amount, work.get(name, {}))
            ratio = f"{own / target:.2f} times `{control}`'s" if target else "more than none"
            words.append(f"{name} is planned {ratio} {amount}" + (f" (steps = {steps} would match)" if steps else ""))
    said = "; ".join(words) + "." if words else f"{amount} of each warm start, within {NEAR:.0%} of `{control}`'s"
    return {"path": "match", "arms": values, "differ": odd, "reason": said}


def matching_steps(arm: Arm, budget: Budget, target: float, amount: str, work: Mapping[str, Any]) -> int | None:
    """Steps of the entry's stage that would make an arm match; None where no number does."""
    assert arm.entry is not None
    config = stage_config(arm.recipe.stage[arm.entry])
    each = per_step(config, amount, work.get(arm.entry))
    if not each:
        return None
    now = getattr(budget, amount)
    own = getattr(warm_stage(arm, work), amount)
    steps = round((target - (now - own)) / each)
    near = abs(now - own + steps * each - target) <= NEAR * max(target, 1)
    return steps if steps >= 1 and near else None


def warm_stage(arm: Arm, work: Mapping[str, Any]) -> Budget:
    """The budget of the entry's stage alone."""
    assert arm.entry is not None
    return stage_budget(arm.entries, arm.entry, work.get(arm.entry))


def planned_work(arm: Arm) -> dict[str, Any]:
    """Tokens and operations of an arm's stages, from shapes and lengths."""
    from warmrl.engine.forecast.machines import machine
    from warmrl.engine.forecast.report import of_stage
    from warmrl.engine.forecast.resources import Resources

    return {name: of_stage(plan) for name, plan in Resources(arm.entries, machine("cpu", 1)).stages.items()}
