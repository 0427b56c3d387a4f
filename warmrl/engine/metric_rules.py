"""What must hold of the metrics that a recipe reads, in its evaluations, its probe and its hand-off rules."""

from __future__ import annotations

from collections.abc import Iterator

from warmrl.domain.errors import PluginError
from warmrl.domain.handoff import LOSS, HandoffTable
from warmrl.domain.metric import Metric
from warmrl.domain.names import MetricName
from warmrl.domain.recipe import Recipe
from warmrl.domain.stages import MethodConfig, StageConfig
from warmrl.plugin.registry import Registry


def metric_problems(recipe: Recipe, registry: Registry) -> Iterator[str]:
    """Metrics of evaluations that are unknown, misspelt, or ask for more samples than there are."""
    for position, text in enumerate(recipe.eval.metrics):
        yield from problems_of(text, f"eval.metrics[{position}]", recipe.eval.samples, "eval.samples", registry)


def generalization_problems(recipe: Recipe) -> Iterator[str]:
    """Suites and scores of the Generalization Factor that the evaluations do not have."""
    table = recipe.eval.generalization
    if table is None:
        return
    at = "eval.generalization"
    suites = {f"{at}.in_domain": table.in_domain} | {f"{at}.out_of_domain.{one}": one for one in table.out_of_domain}
    for where, suite in suites.items():
        if suite not in recipe.suite:
            yield f"`{where}`: there is no `[suite.{suite}]`; there are: {', '.join(recipe.suite) or 'none'}."
    if table.in_domain in table.out_of_domain:
        yield f"`{at}`: `{table.in_domain}` is in domain and out of domain; it can be one of both."
    if table.metric not in recipe.eval.metrics:
        known = ", ".join(recipe.eval.metrics)
        yield f"`{at}.metric` is `{table.metric}`, which `eval.metrics` has not: {known}; add it there, or take one."


def problems_of(text: str, at: str, samples: int, setting: str, registry: Registry) -> Iterator[str]:
    """What is wrong with one metric at a place of a recipe that draws so many samples by a setting."""
    try:
        name = MetricName.parse(text)
        metric: type[Metric] = registry.get("metric", name.name).load()
    except (ValueError, PluginError) as error:
        yield f"`{at}` is `{text}`: {error}."
        return
    fewest = name.k or metric.least
    if metric.takes_k and name.k is None:
        yield (
            f"`{at}` is `{text}`: it speaks of k samples; write `{name.spelled('k')}`, for example `{name.spelled(8)}`."
        )
    elif not metric.takes_k and name.k is not None:
        yield f"`{at}` is `{text}`: `{name.name}` takes no k; write `{name.name}`."
    elif fewest > samples:
        yield (
            f"`{at}` is `{text}`, but `{setting}` is {samples}: it is undefined for fewer than {fewest} "
            f"samples; raise `{setting}`{' or lower k' if metric.takes_k else ''}."
        )


def handoff_problems(recipe: Recipe, registry: Registry) -> Iterator[str]:
    """Hand-off rules that look at nothing, or by which nothing can be chosen."""
    for name, choice in recipe.stage.items():
        if isinstance(choice.config, MethodConfig) and choice.config.handoff is not None:
            at, rule = f"stage.{name}.handoff", choice.config.handoff
            yield from place_problems(recipe, rule.on, at)
            yield from step_problems(rule, choice.config.steps, at)
            wrong = [
                one
                for place, text in [("by", rule.by), *(("floor", text) for text in rule.floors() if text != rule.by)]
                if text != LOSS
                for one in problems_of(text, f"{at}.{place}", rule.samples, f"{at}.samples", registry)
            ]
            yield from wrong or undirected(rule, at, registry)


def probe_problems(recipe: Recipe, registry: Registry) -> Iterator[str]:
    """A probe on problems that are none or that are trained on, and metrics that it cannot have."""
    table = recipe.probe
    if table is None:
        return
    yield from place_problems(recipe, table.on, "probe")
    for position, text in enumerate(table.metrics):
        yield from problems_of(text, f"probe.metrics[{position}]", table.samples, "probe.samples", registry)
    if recipe.eval.temperature == 0 and table.samples > 1:
        yield (
            f"`eval.temperature` is 0 with `probe.samples` {table.samples}: greedy answers are all the same, so "
            "several of them say nothing; sample at a temperature above 0, or take one."
        )


def place_problems(recipe: Recipe, on: str, at: str) -> Iterator[str]:
    """Whether the problems are there, and held out."""
    known = [*recipe.suite, *recipe.data]
    if on not in known:
        yield (
            f"`{at}.on` is `{on}`, which is no `[suite.*]` table and no `[data.*]` table; there are: "
            f"{', '.join(dict.fromkeys(known)) or 'none'}."
        )
    for stage, choice in recipe.stage.items():
        config = choice.config
        read = [config.data] if isinstance(config, StageConfig) and isinstance(config.data, str) else config.data  # type: ignore[attr-defined]
        if on not in recipe.suite and on in read:
            yield (
                f"`{at}.on` is `{on}`, which `stage.{stage}` trains on; give problems that are held out: a "
                "`[suite.*]` table, or a `[data.*]` table that no stage reads."
            )


def step_problems(rule: HandoffTable, steps: int, at: str) -> Iterator[str]:
    """Whether the candidates are steps of the stage, and more than one."""
    beyond = [one for one in rule.at if one < 1 or (steps and one > steps)]
    if beyond:
        has = f"the stage has {steps} steps" if beyond[0] > 0 else "steps count from 1"
        yield f"`{at}.at` has step {beyond[0]}, but {has}."
    if rule.every and not steps:
        yield f"`{at}.every`: the stage's steps follow from its epochs (`steps` is 0); name the candidates in `at`."
    elif not rule.steps(steps) and not beyond and not rule.floors():
        yield (
            f"`{at}` has one candidate, the stage's end, and no floor: it chooses nothing. Name steps in `at`, or a "
            "number in `every` that is below the stage's steps."
        )


def undirected(rule: HandoffTable, at: str, registry: Registry) -> Iterator[str]:
    """Whether there is a best by the rule's metric, or a floor that stands in for it."""
    metric = None if rule.by == LOSS else registry.get("metric", MetricName.parse(rule.by).name).load()
    if metric is not None and metric.higher_is_better is None and rule.by not in rule.floors():
        yield (
            f"`{at}.by` is `{rule.by}`, of which neither more nor less is better: the last candidate that meets a "
            "floor is chosen; give one (`floor = …`)."
        )
