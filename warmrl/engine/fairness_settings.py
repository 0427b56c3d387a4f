"""What two arms must share, as one tree of plain values for each arm: its resolved recipe without its warm start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from warmrl.domain.config import Choice, Config
from warmrl.domain.names import CheckpointName
from warmrl.domain.recipe import Recipe
from warmrl.domain.stages import NOT_SEMANTIC, MethodConfig
from warmrl.engine.budget import before
from warmrl.engine.checkpoints import locate, weights_here
from warmrl.engine.entries import Entries, chat_template
from warmrl.engine.recipe_rules import data_of, stage_config
from warmrl.engine.study_file import StudyFile

# No part of a result's key, and yet part of what is compared: who judges, and what is handed on.
COMPARED = frozenset({"grader", "second_opinion", "style", "handoff"})
# Settings of every method that say how a step is computed, and not what it is.
WAYS = ("token_budget", "gradient_checkpointing")
# Settings of every method that are the budget's, or say where the warm start begins.
OF_THE_BUDGET = frozenset({"steps", "policy"})


@dataclass(frozen=True)
class Told:
    """A value that is shown otherwise than it is compared."""

    key: Any
    text: Any = field(compare=False)


@dataclass(frozen=True, eq=False)
class Read:
    """Data that a stage reads: tables of the same names (which are compared themselves), or of the same content."""

    names: tuple[str, ...]
    """By TOML path (`data.train`, `stage.traces/part`): a curator is not a `[data.*]` table of its name."""
    contents: tuple[Any, ...]

    def __eq__(self, other: object) -> bool:
        """By name, or else by content."""
        return isinstance(other, Read) and (self.names == other.names or self.contents == other.contents)

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True)
class Arm:
    """One arm: its recipe, the stages of its warm start, the one of them that trains the entry (None: no warm start).

    `tree` has its settings by TOML path, the entry's stage under the name that all arms' have here.
    """

    name: str
    entries: Entries
    warm: list[str]
    entry: str | None
    label: str

    @property
    def recipe(self) -> Recipe:
        """Its recipe."""
        return self.entries.file.recipe


def arms_of(study: StudyFile) -> dict[str, Arm]:
    """Every arm, its results in no store: what is compared does not depend on what is there."""
    entries = {name: Entries(file, Path("no-store")) for name, file in study.recipes.items()}
    stages = {name: entry_stage(study, name) for name in study.arms}
    label = shared_label(study, stages)
    outcome = study.study.outcome
    return {
        name: Arm(name, one, before(one.file.recipe, outcome), stages[name], label) for name, one in entries.items()
    }


def shared_label(study: StudyFile, entries: Mapping[str, str | None]) -> str:
    """What the entries' stages are called together: as the control's, where no arm has another stage of that name."""
    control = study.study.control
    names = [one for one in (entries[control], *entries.values()) if one]
    others = {one for arm, entry in entries.items() for one in training(study, arm) if one != entry}
    free = (one for one in names if one not in others)
    return next(free, None) or next(iter(names), None) or CheckpointName.parse(study.entry(control)).stage


def training(study: StudyFile, arm: str) -> list[str]:
    """An arm's stages that train."""
    return [name for name, one in study.recipes[arm].recipe.stage.items() if isinstance(one.config, MethodConfig)]


def entry_stage(study: StudyFile, arm: str) -> str | None:
    """The stage that trains what the outcome starts from, behind stages that train nothing; None where none does."""
    own = training(study, arm)
    line = policy_line(study.recipes[arm].recipe, study.entry(arm))
    return next((one for one in line if one in own), None)


def policy_line(recipe: Recipe, policy: str) -> list[str]:
    """The stages that a policy comes from, one behind the other, and what the first of them starts from."""
    name = CheckpointName.parse(policy)
    if name.run is not None or name.stage not in recipe.stage:
        return [policy]
    return [name.stage, *policy_line(recipe, stage_config(recipe.stage[name.stage]).policy)]


def tree(arm: Arm, outcome: str) -> dict[str, Any]:
    """An arm's settings, nested as in the recipe."""
    recipe = arm.recipe
    found = plain(recipe, skip=frozenset({"version", "name", "seed", "plugins", "launch", "stage", "data", "suite"}))
    found["model"] |= {"path": base_of(arm)}
    del found["model"]["revision"]
    found["data"] = {name: dataset(arm, f"data.{name}") for name in data_read(arm, outcome)}
    found["curators"] = {
        name: curator(arm, name, made_by=whole)
        for stage, whole in ((arm.entry, False), (outcome, True))
        for name in curators_read(arm, stage)
    }
    found["suite"] = {name: suite(arm, name) for name in recipe.suite}
    found["eval"] |= {
        "at": Told(frozenset(places(arm, outcome)), list(recipe.eval.at) or "base and the end of every stage"),
        "metrics": Told(frozenset(recipe.eval.metrics), list(recipe.eval.metrics)),
    }
    if recipe.probe:
        found["probe"] |= {"metrics": Told(frozenset(recipe.probe.metrics), list(recipe.probe.metrics))}
    choice = recipe.stage[outcome]
    settings = plain(choice.config, skip=frozenset({"policy", "data"}))
    found["stage"] = {outcome: {"use": choice.use, **settings, "data": read(arm, outcome)}}
    if arm.entry is not None:
        found["stage"][arm.label] = warm_settings(arm, arm.entry)
    return found


def start(arm: Arm, outcome: str) -> tuple[str, str | None]:
    """What an arm begins from: the base, or a policy of another run and the stage that names it."""
    line = [outcome, *policy_line(arm.recipe, stage_config(arm.recipe.stage[outcome]).policy)]
    elsewhere = CheckpointName.parse(line[-1]).run is not None
    return (line[-1], line[-2]) if elsewhere else ("base", None)


def ways(arm: Arm, outcome: str) -> dict[str, Any]:
    """How an arm's results are computed, which is no part of what they are; a warm start's where it has one."""
    recipe = arm.recipe
    stages = {outcome: outcome} | ({arm.label: arm.entry} if arm.entry else {})
    own = {label: stage_config(recipe.stage[stage]) for label, stage in stages.items()}
    of_stages = {f"stage.{label}": {name: getattr(config, name) for name in WAYS} for label, config in own.items()}
    return {"launch": recipe.launch.model_dump(mode="json"), **of_stages}


def plain(value: Any, skip: frozenset[str] = frozenset()) -> Any:
    """A config as plain values, every default written out; what never changes results is left out."""
    if isinstance(value, Choice):
        return {"use": value.use, **plain(value.config)}
    if isinstance(value, Config):
        return {
            name: plain(getattr(value, name))
            for name, one in type(value).model_fields.items()
            if name not in skip and (one.json_schema_extra != NOT_SEMANTIC or name in COMPARED)
        }
    if isinstance(value, Mapping):
        return {name: plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return value


def base_of(arm: Arm) -> Told:
    """The base: all files that change what it does, so weights, chat template and image processor at once."""
    model, registry = arm.recipe.model, arm.entries.file.registry
    if not weights_here(model.path, model.revision, registry):
        return Told((model.path, model.revision), " at ".join(filter(None, (model.path, model.revision))))
    source = arm.entries.base
    template = chat_template(Path(source.path)) if locate(model.path, registry) else None
    files = f"files {source.fingerprint[:8]}" + (f", chat template {template[:8]}" if template else "")
    return Told(source.fingerprint, f"{model.path} ({files})")


def data_read(arm: Arm, outcome: str) -> list[str]:
    """The `[data.*]` tables that matter: what the outcome, its warm start and the probe read."""
    recipe = arm.recipe
    names = [name for stage in (*arm.warm, outcome) for name in data_of(stage_config(recipe.stage[stage]))]
    names += [recipe.probe.on] if recipe.probe else []
    return [name for name in dict.fromkeys(names) if name in recipe.data]


def dataset(arm: Arm, at: str) -> dict[str, Any]:
    """A dataset's settings, and where its files are beside what identifies them."""
    kind, _, name = at.partition(".")
    choice: Choice = getattr(arm.recipe, kind)[name]
    return plain(choice) | places_of_files(arm, at, choice)


def places_of_files(arm: Arm, at: str, choice: Choice) -> dict[str, Any]:
    """Settings that say where a dataset's files are: compared by the content that is read there."""
    own = {"split", "limit", *COMPARED}
    fields = [
        name
        for name, one in type(choice.config).model_fields.items()
        if one.json_schema_extra == NOT_SEMANTIC and name not in own
    ]
    return {name: Content(arm.entries, at, name, getattr(choice.config, name)) for name in fields}


@dataclass(frozen=True, eq=False)
class Content:
    """Where a dataset's files are. Another place is the same where the same problems are in it."""

    entries: Entries
    at: str
    field: str
    place: Any

    def __eq__(self, other: object) -> bool:
        """The same place, or the same content; files are read only where the places differ."""
        if not isinstance(other, Content):
            return False
        return self.place == other.place or self.fingerprint == other.fingerprint

    __hash__ = None  # type: ignore[assignment]

    @property
    def fingerprint(self) -> str:
        """Of what is read."""
        return str(self.entries.data_parts(self.at)["fingerprint"])


def read(arm: Arm, stage: str) -> Read:
    """What a stage reads."""
    recipe, names = arm.recipe, data_of(stage_config(arm.recipe.stage[stage]))
    paths = (f"data.{name}" if name in recipe.data else f"stage.{name}" for name in names)
    return Read(tuple(paths), tuple(content(arm, name) if name in recipe.data else made(arm, name) for name in names))


def content(arm: Arm, name: str) -> Any:
    """What identifies a table's problems as far as the recipe tells."""
    choice = arm.recipe.data[name]
    places = {one: value.place for one, value in places_of_files(arm, f"data.{name}", choice).items()}
    return {**plain(choice), "places": places}


def made(arm: Arm, name: str) -> Any:
    """What identifies a curator's problems."""
    stage, _, part = name.partition("/")
    return {"part": part, **curator(arm, stage, made_by=True)}


def curators_read(arm: Arm, stage: str | None) -> list[str]:
    """The curators that a stage reads, directly or through others."""
    if stage is None:
        return []
    names = (name.partition("/")[0] for name in data_of(stage_config(arm.recipe.stage[stage])))
    direct = [name for name in dict.fromkeys(names) if name in arm.recipe.stage]
    return [one for name in direct for one in (name, *curators_read(arm, name))]


def curator(arm: Arm, stage: str, *, made_by: bool) -> dict[str, Any]:
    """A curator's settings; with `made_by` a policy that is trained here counts with all that made it.

    What only the warm start reads is its method's own, trained policies and all.
    """
    choice = arm.recipe.stage[stage]
    settings = plain(choice) | {"data": read(arm, stage)}
    return settings | policies_read(arm, stage) if made_by else settings


def policies_read(arm: Arm, stage: str) -> dict[str, Any]:
    """The policies that a stage reads, by field, each by what made it."""
    config = stage_config(arm.recipe.stage[stage])
    return {name: trained(arm, one) for name, one in {"policy": config.policy, **config.policies()}.items()}


def trained(arm: Arm, policy: str) -> Any:
    """A policy by what made it: its stage's settings and all before it."""
    name = CheckpointName.parse(policy)
    if name.run is not None or name.stage not in arm.recipe.stage:
        return policy
    choice = arm.recipe.stage[name.stage]
    made_of = {
        **plain(choice),
        **policies_read(arm, name.stage),
        "step": name.step,
        "end": name.end,
        "data": read(arm, name.stage),
    }
    return Told(made_of, f"{policy} (made by {choice.use}, this arm's own)")


def suite(arm: Arm, name: str) -> dict[str, Any]:
    """A suite's settings; a grader or style that is the recipe's own is the default spelled out."""
    found = dataset(arm, f"suite.{name}")
    shared = {"grader": arm.recipe.grader, "second_opinion": arm.recipe.second_opinion, "style": arm.recipe.answer}
    for field_name, default in shared.items():
        if field_name in found and found[field_name] == plain(default):
            found[field_name] = None
    return found


def places(arm: Arm, outcome: str) -> list[str]:
    """The checkpoints that are evaluated, but for those inside the warm start; its end is `entry`."""
    recipe = arm.recipe
    trained = [name for name, one in recipe.stage.items() if one.kind != "curator"]
    entry = CheckpointName.parse(stage_config(recipe.stage[outcome]).policy)
    out = []
    for text in recipe.eval.at or ["base", *trained]:
        name = CheckpointName.parse(text)
        if name == entry or (name.stage == entry.stage and name.end and entry.step is None):
            out.append("entry")
        if name.stage in ("base", outcome):
            out.append(text)
    return out


def warm_settings(arm: Arm, stage: str) -> dict[str, Any]:
    """What a training stage has that every method has; sampling settings where it samples."""
    config = stage_config(arm.recipe.stage[stage])
    assert isinstance(config, MethodConfig)
    samples = "sampler" in config.reads
    wanted = [
        name
        for name, one in MethodConfig.model_fields.items()
        if name not in OF_THE_BUDGET and (one.json_schema_extra != NOT_SEMANTIC or name in COMPARED)
        if name != "temperature" or samples
        if name != "max_tokens" or samples or config.normalise == "constant"
    ]
    return {name: plain(getattr(config, name)) for name in wanted} | {"data": read(arm, stage)}


def earlier(arm: Arm) -> list[str]:
    """The stages that train before the entry's."""
    return [one for one in arm.warm if one != arm.entry and isinstance(arm.recipe.stage[one].config, MethodConfig)]


def own_settings(arm: Arm) -> str:
    """The warm start itself in a line: its stages, and what the method alone has, where it is not its default."""
    if arm.entry is None:
        return "no warm start"
    parts = []
    for stage in arm.warm:
        choice = arm.recipe.stage[stage]
        fields = type(choice.config).model_fields
        own = {name for name in fields if name not in MethodConfig.model_fields or stage != arm.entry}
        given = choice.config.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
        told = ", ".join(f"{name} {short(given[name])}" for name in fields if name in own and name in given)
        parts.append(f"{stage}: {choice.use}" + (f" ({told})" if told else ""))
    return "; ".join(parts)


def short(value: Any) -> str:
    """A setting in a line."""
    if isinstance(value, Mapping):
        return " ".join(str(one) for one in value.values() if not isinstance(one, list | dict))
    return f"{value:g}" if isinstance(value, float) else str(value)
