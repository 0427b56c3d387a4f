"""What must hold between the tables of a recipe: references, order of stages, metrics and samples, teachers."""

from __future__ import annotations

from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from warmrl.domain.config import Choice
from warmrl.domain.errors import RecipeError
from warmrl.domain.names import CheckpointName
from warmrl.domain.recipe import Recipe
from warmrl.domain.stages import CuratorConfig, MethodConfig, StageConfig
from warmrl.domain.teacher import TeacherConfig
from warmrl.engine.metric_rules import generalization_problems, handoff_problems, metric_problems, probe_problems
from warmrl.plugin.registry import Registry

# Full distributions contain the sampled tokens' probabilities, and who tells of the top-k tells of the sampled ones.
IMPLIED = {"full": {"full", "top-k", "sampled"}, "top-k": {"top-k", "sampled"}, "sampled": {"sampled"}}


def check_references(path: Path, recipe: Recipe, registry: Registry) -> None:
    """Raise `RecipeError` with every broken rule, or return."""
    problems = [*stage_problems(recipe), *eval_problems(recipe), *metric_problems(recipe, registry)]
    problems += [*generalization_problems(recipe), *handoff_problems(recipe, registry)]
    problems += probe_problems(recipe, registry)
    if not problems:
        problems = [*teacher_problems(recipe), *style_problems(recipe, registry)]
    if problems:
        raise RecipeError(f"{path}: " + " ".join(dict.fromkeys(problems)))


def stage_config(choice: Choice) -> StageConfig:
    """The settings of a stage's table."""
    assert isinstance(choice.config, StageConfig)
    return choice.config


def data_of(config: StageConfig) -> list[str]:
    """The data a stage reads, as a list."""
    return [config.data] if isinstance(config.data, str) else list(config.data)


def inputs_of(recipe: Recipe, name: str) -> list[str]:
    """The stages that stage `name` needs: those of the policies and the curators that it reads."""
    config = stage_config(recipe.stage[name])
    read = [CheckpointName.parse(one) for one in (config.policy, *config.policies().values())]
    names = [*(one.stage for one in read if one.run is None), *(one.partition("/")[0] for one in data_of(config))]
    return [one for one in dict.fromkeys(names) if one in recipe.stage]


def stage_order(recipe: Recipe) -> list[str]:
    """Stages so that each comes after what it needs; ties in the recipe's order. Raises `RecipeError`."""
    sorter: TopologicalSorter[str] = TopologicalSorter({name: inputs_of(recipe, name) for name in recipe.stage})
    try:
        return list(sorter.static_order())
    except CycleError as error:
        circle = " -> ".join(f"`{one}`" for one in reversed(error.args[1]))
        raise RecipeError(f"`stage`: the stages need one another in a circle, {circle}; break it.") from None


def stage_problems(recipe: Recipe) -> Iterator[str]:
    """References of stages that lead nowhere."""
    for name, choice in recipe.stage.items():
        if name == "base" or name in recipe.data:
            taken = "the recipe's model" if name == "base" else f"`data.{name}`"
            yield f"`stage.{name}`: the name is taken by {taken}; call the stage something else."
        config = stage_config(choice)
        for field, text in {"policy": config.policy, **config.policies()}.items():
            try:
                start = CheckpointName.parse(text)
            except ValueError as error:
                yield f"`stage.{name}.{field}`: {error}."
                continue
            yield from checkpoint_problems(recipe, start, f"stage.{name}.{field}")
        known = [*recipe.data, *curated_data(recipe)]
        for data in data_of(config):
            if data not in known:
                yield (
                    f"`stage.{name}.data` is `{data}`, which is no `[data.*]` table and no curator stage; "
                    f"there are: {', '.join(known) or 'none'}."
                )
    try:
        stage_order(recipe)
    except (RecipeError, ValueError) as error:
        yield str(error)


def curated_data(recipe: Recipe) -> Iterator[str]:
    """What stages may read of the recipe's curators: all that one makes, and each of its parts."""
    for name, choice in recipe.stage.items():
        if isinstance(choice.config, CuratorConfig):
            yield from (name, *(f"{name}/{part}" for part in choice.config.parts))


def checkpoint_problems(recipe: Recipe, name: CheckpointName, at: str) -> Iterator[str]:
    """Whether a checkpoint is one that this recipe makes."""
    if name.run is not None or (name.stage == "base" and name.step is None):
        return
    choice = recipe.stage.get(name.stage)
    if choice is None or choice.kind == "curator":
        known = ["base", *(s for s, c in recipe.stage.items() if c.kind != "curator")]
        yield f"`{at}` is `{name}`, but no stage `{name.stage}` trains a policy; there are: {', '.join(known)}."
    elif name.step == 0:
        yield f"`{at}` is `{name}`: steps count from 1; what stage `{name.stage}` starts from is its `policy`."
    elif name.step is not None and isinstance(choice.config, MethodConfig) and 0 < choice.config.steps < name.step:
        yield f"`{at}` is `{name}`, but stage `{name.stage}` has {choice.config.steps} steps."


def eval_problems(recipe: Recipe) -> Iterator[str]:
    """Samples that are all the same, and evaluation points that the recipe never reaches."""
    if recipe.eval.temperature == 0 and recipe.eval.samples > 1:
        yield (
            f"`eval.temperature` is 0 with `eval.samples` {recipe.eval.samples}: greedy answers are all the same, so "
            "several of them say nothing; sample at a temperature above 0, or take one."
        )
    for position, text in enumerate(recipe.eval.at):
        try:
            name = CheckpointName.parse(text)
        except ValueError as error:
            yield f"`eval.at[{position}]`: {error}."
            continue
        if name.run is not None:
            yield f"`eval.at[{position}]` is `{text}`: a recipe evaluates its own stages; use `warmrl eval` for others."
            continue
        yield from checkpoint_problems(recipe, name, f"eval.at[{position}]")


def teacher_problems(recipe: Recipe) -> Iterator[str]:
    """Stages whose teacher can't give what they need."""
    for name, choice in recipe.stage.items():
        for field, needs in stage_config(choice).teachers().items():
            teacher = getattr(choice.config, field)
            assert isinstance(teacher.config, TeacherConfig)
            has = {implied for one in teacher.config.gives() for implied in IMPLIED.get(one, {one})}
            for need in needs:
                if need not in has:
                    gives = ", ".join(sorted(has)) or "nothing"
                    yield (
                        f"`stage.{name}.{field}`: `{choice.use}` as set here needs a teacher that gives `{need}`, and "
                        f"`{teacher.use}` gives {gives}; choose another teacher or setting."
                    )


def style_problems(recipe: Recipe, registry: Registry) -> Iterator[str]:
    """Stages that cannot work in the recipe's answer style."""
    style = registry.instance(recipe.answer)
    for name, choice in recipe.stage.items():
        objection = stage_config(choice).objection(style)
        if objection:
            yield f"`stage.{name}`: {objection}"
