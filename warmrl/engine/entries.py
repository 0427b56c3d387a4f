"""Every result of a recipe by its key: what each stage and evaluation is made from, and whether it is there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from warmrl.domain.config import Choice, choices_in
from warmrl.domain.dataset import Dataset
from warmrl.domain.errors import DataError, UsageError
from warmrl.domain.handoff import HandoffTable
from warmrl.domain.names import CheckpointName
from warmrl.domain.problem import Problem
from warmrl.domain.sampler import SamplerConfig
from warmrl.domain.stages import MethodConfig
from warmrl.domain.teacher import TeacherConfig
from warmrl.engine.checkpoints import Source, find, folder_source, key_in_run, locate, weights_here
from warmrl.engine.handoff import handoff_file, handoff_folders
from warmrl.engine.keys import key_of, semantic
from warmrl.engine.probes import probe_folders, probe_points, steps_along
from warmrl.engine.recipe_file import RecipeFile
from warmrl.engine.recipe_rules import data_of, stage_config, stage_order
from warmrl.engine.samples import Draws, Kind, missing
from warmrl.engine.scores import metric_of
from warmrl.engine.storage import canonical, damage
from warmrl.engine.suites import Suite, suite_of

CURATED = "problems.jsonl"


@dataclass
class Entries:
    """The recipe's results in the store. Opens datasets and finds checkpoints; loads no weights."""

    file: RecipeFile
    store: Path
    keys: dict[str, str] = field(default_factory=dict)
    """Stages whose keys are known: of an older run, those that they had then."""
    _datasets: dict[str, Dataset[Any]] = field(default_factory=dict)
    _fingerprints: dict[str, str] = field(default_factory=dict)
    _suites: dict[str, Suite] = field(default_factory=dict)
    _chosen: dict[str, str] = field(default_factory=dict)

    @cached_property
    def base(self) -> Source:
        """The recipe's model."""
        model = self.file.recipe.model
        return find(model.path, model.revision, self.file.registry)

    def order(self) -> list[str]:
        """Stages, each after what it needs."""
        return stage_order(self.file.recipe)

    def dataset(self, name: str) -> Dataset[Any]:
        """A `[data.*]` or `[suite.*]` table's dataset (`data.train`, `suite.validation`). Raises `DataError`."""
        if name not in self._datasets:
            kind, _, table = name.partition(".")
            choice: Choice = getattr(self.file.recipe, kind)[table]
            dataset = self.file.registry.instance(choice)
            if not len(dataset.problems()):
                split = getattr(choice.config, "split", "")
                raise DataError(f"`{name}`: the split `{split}` of `{choice.use}` is empty; check `split` and `limit`.")
            self._datasets[name] = dataset
        return self._datasets[name]

    def pinned(self) -> dict[str, Mapping[str, str]]:
        """What each dataset that was opened has looked up, by the name of its table."""
        return {name: dataset.pinned() for name, dataset in self._datasets.items()}

    def parts(self, stage: str) -> dict[str, Any]:
        """Everything that a stage's result depends on, as plain values."""
        recipe, registry = self.file.recipe, self.file.registry
        choice = recipe.stage[stage]
        config = stage_config(choice)
        inputs = [self.data_parts(f"data.{d}") if d in recipe.data else self.curated_key(d) for d in data_of(config)]
        others = config.policies()
        shared = {name: semantic(getattr(recipe, name), registry) for name in sorted(config.reads)}
        model = semantic(recipe.model, registry, skip=frozenset({"path", "revision"}))
        return {
            "stage": stage,
            "use": choice.use,
            "revision": registry.get("stage", choice.use).revision,
            "seed": recipe.seed,
            "settings": semantic(config, registry, skip=frozenset({"policy", "data", *others})),
            "policy": self.policy_key(config.policy),
            "data": inputs,
            "model": model,
            "answer": semantic(recipe.answer, registry),
            **shared,
            **({"policies": {field: self.policy_key(one) for field, one in others.items()}} if others else {}),
        }

    def curated_key(self, name: str) -> str:
        """What identifies a curator's problems, or a part of them (`stage/part`)."""
        stage, slash, part = name.partition("/")
        return self.stage_key(stage) + slash + part

    def data_parts(self, name: str) -> dict[str, Any]:
        """What identifies a dataset's problems."""
        kind, _, table = name.partition(".")
        choice: Choice = getattr(self.file.recipe, kind)[table]
        if name not in self._fingerprints:
            self._fingerprints[name] = self.dataset(name).fingerprint()
        return {"dataset": semantic(choice, self.file.registry), "fingerprint": self._fingerprints[name]}

    def stage_key(self, stage: str) -> str:
        """The key of a stage's result."""
        if stage not in self.keys:
            self.keys[stage] = key_of(self.parts(stage))
        return self.keys[stage]

    def policy_key(self, name: str) -> str:
        """What identifies a policy: the model's content, or the key of the stage that makes it, and the step.

        Of what a hand-off rule has not chosen yet, it is the rule's: nothing in the store depends on it.
        """
        checkpoint = self.handed_on(CheckpointName.parse(name))
        if checkpoint is None:
            stage = CheckpointName.parse(name).stage
            return f"{self.stage_key(stage)}@{handoff_file(self, stage).stem}"
        if checkpoint.run is not None:
            return find(name, None, self.file.registry).fingerprint
        if checkpoint.stage == "base":
            return self.base.fingerprint
        return self.stage_key(checkpoint.stage) + ("" if checkpoint.step is None else f"@{checkpoint.step}")

    def handed_on(self, name: CheckpointName) -> CheckpointName | None:
        """What a checkpoint's name means once hand-off rules have chosen; None where one has not chosen yet."""
        rule = None if name.run or name.step is not None or name.end else self.rule(name.stage)
        if rule is None:
            return name
        if name.stage not in self._chosen:
            try:
                chosen = json.loads(handoff_file(self, name.stage).read_text())["chosen"]
            except (OSError, ValueError, KeyError, TypeError):
                return None
            if not isinstance(chosen, str):
                return None
            self._chosen[name.stage] = chosen
        return CheckpointName.parse(self._chosen[name.stage])

    def rule(self, stage: str) -> HandoffTable | None:
        """A stage's hand-off rule, if it has one."""
        choice = self.file.recipe.stage.get(stage)
        return choice.config.handoff if choice and isinstance(choice.config, MethodConfig) else None

    def settle(self, stage: str, chosen: str | None) -> None:
        """Take a hand-off's choice: what depends on it has another key from now on."""
        self.keys.clear()
        self._chosen.pop(stage, None)
        if chosen is not None:
            self._chosen[stage] = chosen

    def table_of(self, name: str) -> str:
        """The table of held-out problems of that name: `suite.NAME`, or else `data.NAME`."""
        return f"suite.{name}" if name in self.file.recipe.suite else f"data.{name}"

    def stage_folder(self, stage: str) -> Path:
        """A stage's entry in the store."""
        return self.store / self.stage_key(stage)

    def policy_source(self, name: str) -> Source:
        """Where a policy's weights are, once its stage is done."""
        checkpoint = self.handed_on(CheckpointName.parse(name))
        if checkpoint is None:
            raise UsageError(f"`{name}`: its hand-off rule has not chosen a checkpoint; name `{name}@end`, or a step.")
        if checkpoint.run is not None:
            return find(name, None, self.file.registry)
        if checkpoint.stage == "base":
            return self.base
        folder, step = self.stage_folder(checkpoint.stage), checkpoint.step
        if step is not None and step >= json.loads((folder / "done.json").read_text())["steps"]:
            step = None  # the stage ended there, or earlier
        return folder_source(folder / policy_folder(step))

    def missing(self, stage: str, keep: Sequence[int] = ()) -> str | None:
        """Why a stage has to run, in words; None when its result is there, whole."""
        folder = self.stage_folder(stage)
        if not (folder / "done.json").exists():
            return "it was begun and is not finished" if (folder / "metrics.jsonl").exists() else "it is new"
        if self.file.recipe.stage[stage].kind == "curator":
            return None if (folder / CURATED).exists() else "its problems are gone"
        steps = json.loads((folder / "done.json").read_text())["steps"]
        for one in [None, *(step for step in keep if step < steps)]:
            reason = damage(folder / policy_folder(one))
            if reason is not None:
                what = "its policy" if one is None else f"its policy at step {one}"
                return f"{what} is not in the store ({reason})"
        return None

    def suite(self, name: str) -> Suite:
        """A `[suite.*]` table (or a `[data.*]` table, as problems that are held out), opened. Raises `DataError`."""
        if name not in self._suites:
            dataset = self.dataset(self.table_of(name))
            self._suites[name] = suite_of(name, self.file.recipe, dataset, self.file.registry)
        return self._suites[name]

    def kinds(self, spelled: Sequence[str] | None = None) -> dict[Kind, frozenset[str]]:
        """The kinds of answers that metrics (the recipe's) read, with the per-token numbers that they need of each."""
        names = self.file.recipe.eval.metrics if spelled is None else spelled
        metrics = [metric_of(text, self.file.registry) for text in names]
        kinds: tuple[Kind, Kind] = ("greedy", "sampled")
        read = {kind: [one.needs for one in metrics if one.reads == kind] for kind in kinds}
        return {kind: frozenset().union(*needs) for kind, needs in read.items() if needs}

    def answers_each(self, metrics: Sequence[str] | None = None, samples: int | None = None) -> int:
        """Answers that are wanted of each problem."""
        many = samples or self.file.recipe.eval.samples
        return sum(1 if kind == "greedy" else many for kind in self.kinds(metrics))

    def draws(
        self, checkpoint: str, suite: str, metrics: Sequence[str] | None = None, samples: int | None = None
    ) -> list[Draws]:
        """The answers that metrics (the recipe's) need of one checkpoint on one suite, and where they are kept.

        How many samples and problems, the metrics and the graders are no part of a key: they add to what is there.
        """
        recipe, registry = self.file.recipe, self.file.registry
        choice, table = recipe.suite.get(suite) or recipe.data[suite], recipe.eval
        assert isinstance(recipe.sampler.config, SamplerConfig)
        out = []
        for kind, extras in self.kinds(metrics).items():
            way: dict[str, Any] = {"max_tokens": table.max_tokens, "temperature": 0.0, "top_p": 1.0, "seed": 0}
            if kind == "sampled":
                way |= {"temperature": table.temperature, "top_p": table.top_p, "seed": table.seed}
            parts = {
                "answers of": self.answers_key(checkpoint),
                "suite": {"use": choice.use, **semantic(choice.config, registry, skip=frozenset({"limit"}))},
                "sampler": semantic(recipe.sampler, registry),
                "model": semantic(recipe.model, registry, skip=frozenset({"path", "revision"})),
                "drawn": way,
            }
            folder = self.store / f"samples-{key_of(parts)}"
            count = 1 if kind == "greedy" else samples or table.samples
            out.append(Draws(kind, folder, count, **way, block_size=recipe.sampler.config.block_size, extras=extras))
        return out

    def answers_key(self, checkpoint: str) -> str:
        """What identifies who answers. A checkpoint of another run is what it is there, so its answers serve here."""
        path = self.file.recipe.model.path
        if checkpoint == "base" and "#" in path:
            find(path, None, self.file.registry)
            return key_in_run(path)
        stage = self.file.recipe.stage.get(checkpoint)
        if stage is not None and not stage_config(stage).trains:
            return self.answers_key(stage_config(stage).policy)
        return self.policy_key(checkpoint)

    def sampling(self, checkpoint: str, suite: str, draws: Draws) -> dict[str, Any]:
        """The sampling block of an evaluation: everything of how answers are drawn that a comparison must share."""
        model, sampler = self.file.recipe.model, self.file.recipe.sampler
        return {
            "temperature": draws.temperature,
            "top_p": draws.top_p,
            "seed": draws.seed,
            "max_tokens": draws.max_tokens,
            "min_pixels": model.min_pixels,
            "max_pixels": model.max_pixels,
            "dtype": model.dtype,
            "instruction": self.suite(suite).style.instruction(),
            "chat_template": chat_template(Path(self.policy_source(checkpoint).path)),
            "sampler": sampler.use,
        }

    def sampled(
        self, checkpoint: str, suite: str, metrics: Sequence[str] | None = None, samples: int | None = None
    ) -> bool:
        """Whether every answer that one checkpoint has to give to one suite is there."""
        return not any(missing(one, self.suite(suite)) for one in self.draws(checkpoint, suite, metrics, samples))

    def checkpoints(self) -> list[str]:
        """What `eval.at` says, or the base and the end of every training stage."""
        recipe = self.file.recipe
        trained = [name for name in self.order() if recipe.stage[name].kind != "curator"]
        return list(recipe.eval.at) or ["base", *trained]

    def folders(self) -> list[Path]:
        """Every entry of the recipe, there or not. Reads all its data, so that what is wrong with it is found first."""
        points = [(checkpoint, suite) for checkpoint in self.checkpoints() for suite in self.file.recipe.suite]
        drawn = [one.folder for point in points if self.suite(point[1]).problems for one in self.draws(*point)]
        return [*map(self.stage_folder, self.order()), *drawn, *handoff_folders(self), *probe_folders(self)]

    def probes(self, steps: Mapping[str, int] | None = None) -> list[str]:
        """The points of `[probe]`, in order: the base, each stage along its steps, and what it hands on.

        Of a stage whose steps follow from its epochs it is the end alone until it is done, or `steps` names them.
        """
        return probe_points(self, steps or {})

    def models(self) -> Iterator[tuple[str, str, str | None]]:
        """Every checkpoint that is loaded here: where the recipe names it, its path, its revision."""
        recipe = self.file.recipe
        yield "model.path", recipe.model.path, recipe.model.revision
        for name, choice in recipe.stage.items():
            for role in stage_config(choice).teachers():
                where = getattr(choice.config, role).config.checkpoint()
                if where is not None:
                    yield f"stage.{name}.{role}", *where
        graders = {"grader": recipe.grader, "second_opinion": recipe.second_opinion}
        own = {f"{kind}.{name}": one for kind in ("reward", "suite") for name, one in getattr(recipe, kind).items()}
        for at, table in {**graders, **own}.items():
            for choice in choices_in(table):
                if isinstance(choice.config, TeacherConfig) and (where := choice.config.checkpoint()) is not None:
                    yield at, *where

    def check_models(self) -> None:
        """Refuse a model or a teacher that is nowhere before anything is spent; a Hub id is left to the Hub.

        Raises `UsageError` that says where the recipe names it.
        """
        for at, path, _ in self.models():
            try:
                folder = locate(path, self.file.registry)
            except UsageError as error:
                raise UsageError(f"`{at}`: {error}") from None
            if folder is not None and not any(folder.glob("*.safetensors")):
                raise UsageError(f"`{at}`: {folder} is no checkpoint: it has no .safetensors file.")

    def can_tell(self) -> bool:
        """Whether results can be looked up: their keys hold hashes of all these checkpoints. Raises `UsageError`."""
        return all(weights_here(path, revision, self.file.registry) for _, path, revision in self.models())

    def kept_steps(self, stage: str, total: int = 0) -> list[int]:
        """Steps of a stage whose policy something refers to; `total`: its steps where they follow from its epochs."""
        recipe = self.file.recipe
        configs = [stage_config(choice) for choice in recipe.stage.values()]
        read = (one for config in configs for one in (config.policy, *config.policies().values()))
        names = [*self.checkpoints(), *read]
        found = (CheckpointName.parse(name) for name in names)
        named = {one.step for one in found if one.stage == stage and one.step is not None and not one.run}
        rule, config = self.rule(stage), recipe.stage[stage].config
        chosen_from = rule.steps(config.steps) if rule and isinstance(config, MethodConfig) else ()
        return sorted({*named, *chosen_from, *steps_along(self, stage, total)})

    def problems(self, stage: str) -> list[Problem]:
        """The problems that a stage reads: its data tables, and what its curators made."""
        out: list[Problem] = []
        for name in data_of(stage_config(self.file.recipe.stage[stage])):
            if name in self.file.recipe.data:
                out.extend(self.dataset(f"data.{name}").problems())
            else:
                curator, _, part = name.partition("/")
                out.extend(one for one in self.curated(curator) if part in ("", one.extra.get("part")))
        return out

    def curated(self, stage: str) -> list[Problem]:
        """The problems that a curator stage made."""
        sources = {problem.id: problem for problem in self.problems(stage)}
        out = []
        for line in (self.stage_folder(stage) / CURATED).read_bytes().splitlines():
            row = json.loads(line)
            source = sources[row["source"]]
            extra = {**source.extra, **row.get("extra", {}), "source": row["source"]}
            own = {"id": row["id"], "solution": row["solution"], "rejected": row.get("rejected"), "extra": extra}
            out.append(replace(source, **own))
        return out


def chat_template(folder: Path) -> str | None:
    """What identifies the template that makes a prompt of messages (64 bits of SHA-256); None where there is none."""
    text: Any = None
    if (folder / "chat_template.jinja").is_file():
        text = (folder / "chat_template.jinja").read_text(encoding="utf-8")
    for name in ("chat_template.json", "processor_config.json", "tokenizer_config.json"):
        if text is None and (folder / name).is_file():
            text = json.loads((folder / name).read_text(encoding="utf-8")).get("chat_template")
    return None if text is None else hashlib.sha256(canonical(text).encode()).hexdigest()[:16]


def policy_folder(step: int | None) -> str:
    """Where a stage keeps its policy at a step (None: its end)."""
    return "policy" if step is None else f"policies/step-{step:06d}"
