"""The resources of a whole recipe: memory, tokens, time, disk, with the assumptions; what cannot be is refused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from warmrl.domain.config import Choice
from warmrl.domain.errors import UsageError
from warmrl.domain.names import CheckpointName
from warmrl.domain.problem import Problem
from warmrl.domain.sampler import SamplerConfig
from warmrl.domain.stages import CuratorConfig, MethodConfig, StageConfig
from warmrl.engine.entries import Entries
from warmrl.engine.forecast.machines import Machine
from warmrl.engine.forecast.memory import Lines
from warmrl.engine.forecast.outline import Outline, outline
from warmrl.engine.forecast.stage import WIDTHS, StagePlan, planned
from warmrl.engine.forecast.tokens import Completions, Prompts, assumed, evaluated, given, prompts_of, sampled
from warmrl.engine.forecast.work import BANDWIDTH_USED, UTILISATION, Load, forward_flops, seconds_of_sampling
from warmrl.engine.handoff import candidates
from warmrl.engine.launch import world
from warmrl.engine.probes import covered
from warmrl.engine.recipe_rules import data_of, stage_config

# Bytes on the disk for each answer of an evaluation, and for each of its tokens (text, log-probability, entropy).
ANSWER_BYTES, TOKEN_BYTES = 300, 12
# What plans assume.
MEMORY = (
    "memory: the largest row is filled up to `token_budget` by groups of these lengths, and keeps what torch keeps for "
    "the backward pass (measured within 15 % on a CPU); the allocator's gaps and the device's own context, 1 GiB or "
    "more, come on top."
)
PROCESSES = (
    "processes: `fsdp2` divides weights, gradients and moments by them and gathers two layers, the embedding and the "
    "head, or all weights while the sampler `transformers` writes; otherwise DDP holds a second copy of the gradients. "
    "A teacher, a reference and an evaluated policy are whole in each."
)
DISK = "disk: two checkpoints and one being written, the policies that are kept, 300 bytes an answer and 12 a token."


@dataclass(frozen=True)
class Asked:
    """What is sampled on one suite: from which checkpoints, for which metrics, how many samples a problem."""

    suite: str
    checkpoints: Sequence[str]
    metrics: Sequence[str]
    samples: int


@dataclass(frozen=True)
class EvaluationPlan:
    """One suite at one of `points` checkpoints: bytes by line, operations, seconds, answers and their lengths."""

    points: int
    lines: Lines
    flops: float
    seconds: float | None
    answers: int
    completions: Completions


@dataclass
class Resources:
    """Plans what a recipe has still to do on a machine. Reads configs, tokenizers, data, the store; loads no weights.

    Args:
        entries: The recipe's entries in the store; what is there, whole, is not planned.
        machine: What it runs on.
        measure: Whether prompts are encoded; else all lengths are assumed.
        allow_code: Whether a model repository's own code may run.
        unknown: Sentences about what could not be checked.
        outlines: Models that were looked up; several recipes may have the same.
    """

    entries: Entries
    machine: Machine
    measure: bool = True
    allow_code: bool = False
    unknown: list[str] = field(default_factory=list)
    outlines: dict[tuple[str, str | None, str], Outline | None] = field(default_factory=dict)

    @cached_property
    def base(self) -> Outline | None:
        """The recipe's model. Raises `UsageError` when there is none of that name, or it is refused."""
        model = self.entries.file.recipe.model
        return self.outline(model.path, model.revision, "model.path")

    def outline(self, path: str, revision: str | None, at: str) -> Outline | None:
        """The outline of a model path; notes it when a Hub id can't be had."""
        recipe, registry = self.entries.file.recipe, self.entries.file.registry
        key = path, revision, recipe.model.model_dump_json()
        try:
            if key not in self.outlines:
                self.outlines[key] = outline(path, revision, recipe.model, registry, allow_code=self.allow_code)
            found = self.outlines[key]
        except UsageError as error:
            raise UsageError(f"`{at}`: {error}") from None
        if found is None:
            self.unknown.append(
                f"`{at}` is `{path}`, whose `config.json` is neither here nor to be had from the Hub: that it exists, "
                "what it is and whether it fits could not be checked. A folder with its `config.json` and tokenizer "
                "is enough for a plan."
            )
        return found

    @cached_property
    def stages(self) -> dict[str, StagePlan]:
        """Every stage that has still to train, planned."""
        recipe = self.entries.file.recipe
        base = self.base  # first, so that a model that is none is said before anything of it is looked up
        teachers = {name: self.teacher(name, recipe.stage[name], base) for name in self.entries.order()}
        found = {}
        for name, teacher in teachers.items():
            if self.is_there(name):
                continue
            choice = recipe.stage[name]
            if isinstance(choice.config, CuratorConfig):
                self.unknown.append(
                    f"`stage.{name}` (`{choice.use}`): what its policies and teachers write and score is not in these "
                    "figures."
                )
            model = self.model_of(name, stage_config(choice))
            if model is not None and isinstance(choice.config, MethodConfig):
                problems, lengths = self.problems(name), self.lengths(name, model)
                found[name] = planned(name, choice, recipe, self.machine, (model, teacher), lengths, problems)
        return found

    def is_there(self, stage: str) -> bool:
        """Whether a stage's result will be reused."""
        return self.entries.can_tell() and self.entries.missing(stage, self.entries.kept_steps(stage)) is None

    def model_of(self, name: str, config: StageConfig) -> Outline | None:
        """The model that a stage starts from: the recipe's, or another run's policy."""
        if CheckpointName.parse(config.policy).run is None:
            return self.base
        return self.outline(config.policy, None, f"stage.{name}.policy")

    def teacher(self, name: str, choice: Choice, base: Outline | None) -> Outline | None:
        """The outline of a stage's `teacher`, when it is loaded here; its tokens must be the student's for scores.

        The other teachers of a stage (a curator's writers) are looked up too, so that one that is none is refused.
        """
        config = stage_config(choice)
        found: dict[str, Outline | None] = {}
        for role in config.teachers():
            where = getattr(config, role).config.checkpoint()
            if where is not None:
                path, revision = where
                found[role] = self.outline(path, revision, f"stage.{name}.{role}")
        teacher = found.get("teacher")
        if teacher and base and set(config.teacher_needs()) - {"generates"}:
            self.compare_tokens(name, teacher, base)
        return teacher

    def compare_tokens(self, name: str, teacher: Outline, student: Outline) -> None:
        """Refuse a teacher that means other things by the student's tokens. Raises `UsageError`."""
        ours, theirs = student.vocabulary, teacher.vocabulary
        if ours is None or theirs is None:
            self.unknown.append(f"`stage.{name}.teacher`: without both `tokenizer.json`, the tokens were not compared.")
            return
        wrong = sorted(token for token in ours.keys() | theirs.keys() if ours.get(token) != theirs.get(token))
        if wrong:
            raise UsageError(
                f"`stage.{name}.teacher`: `{teacher.path}` does not speak the student's tokens: {len(wrong)} differ "
                f"(first: {wrong[0]!r}: {ours.get(wrong[0])} for the student, {theirs.get(wrong[0])} for the teacher). "
                "On-policy distillation compares token by token; choose a teacher of the same tokenizer, or distil "
                "from its text (curator `traces`, then `sft`)."
            )

    def problems(self, name: str) -> list[Problem]:
        """The problems of a stage's data; for a curator's, those that it is given."""
        recipe = self.entries.file.recipe
        out: list[Problem] = []
        for data in data_of(stage_config(recipe.stage[name])):
            own = data in recipe.data
            read = self.entries.dataset(f"data.{data}").problems() if own else self.problems(data.partition("/")[0])
            out.extend(read)
        return out

    def lengths(self, name: str, model: Outline) -> tuple[Prompts, Completions]:
        """Lengths of a stage's prompts and completions."""
        config = stage_config(self.entries.file.recipe.stage[name])
        assert isinstance(config, MethodConfig)
        if not self.measure:
            return assumed(config.max_tokens)
        problems, style = self.problems(name), self.entries.file.registry.instance(self.entries.file.recipe.answer)
        prompts = prompts_of(model, problems, style)
        if "sampler" not in config.reads:
            return prompts, given(model, problems, config.max_tokens, pairs=config.whole_groups)
        return prompts, sampled(self.folder(name), config.max_tokens)

    def folder(self, stage: str) -> Path | None:
        """A stage's entry in the store; None when it cannot be told without the model's weights."""
        return self.entries.stage_folder(stage) if self.entries.can_tell() else None

    @cached_property
    def evaluations(self) -> dict[str, EvaluationPlan]:
        """Every suite that has still to be sampled somewhere, on one checkpoint; also for the rule of a hand-off."""
        recipe, base = self.entries.file.recipe, self.base
        out = {}
        for name, asked in self.asked().items():
            points = self.points(asked)
            if base is None or not points:
                continue
            own = self.entries.suite(asked.suite)
            problems = list(own.problems.values())
            prompts = prompts_of(base, problems, own.style)
            lengths = evaluated(self.eval_folders(asked), recipe.eval.max_tokens)
            out[name] = self.evaluation(base, asked, points, len(problems), (prompts, lengths))
        return out

    def asked(self) -> dict[str, Asked]:
        """What evaluations, hand-off rules and the probe sample; of the probe what no evaluation draws."""
        table, entries = self.entries.file.recipe.eval, self.entries
        suites = {
            name: Asked(name, entries.checkpoints(), table.metrics, table.samples) for name in entries.file.recipe.suite
        }
        rules = {stage: rule for stage in entries.order() if (rule := entries.rule(stage)) and rule.sampled()}
        probe = entries.file.recipe.probe
        if probe is not None:
            points = entries.probes({name: one.steps for name, one in self.stages.items()})
            own = [one for one in points if not (entries.can_tell() and covered(entries, one))]
            suites[f"{probe.on} (probe)"] = Asked(probe.on, own, probe.metrics, probe.samples)
        return suites | {
            f"{rule.on} (hand-off of {stage})": Asked(
                rule.on, list(candidates(entries, stage)), rule.sampled(), rule.samples
            )
            for stage, rule in rules.items()
        }

    def evaluation(
        self, base: Outline, asked: Asked, points: int, problems: int, how: tuple[Prompts, Completions]
    ) -> EvaluationPlan:
        """One suite."""
        recipe, (prompts, lengths) = self.entries.file.recipe, how
        config, samples, width = recipe.sampler.config, asked.samples, WIDTHS[recipe.model.dtype]
        each = self.entries.answers_each(asked.metrics, samples)
        assert isinstance(config, SamplerConfig)
        if type(config).takes is SamplerConfig.takes:
            self.unknown.append(
                f"The sampler `{recipe.sampler.use}` does not say what memory it takes: none is counted."
            )
        own = config.takes(
            base.shapes, device=self.machine.bytes, width=width, completions=config.block_size * samples,
            per_prompt=samples, prompt=prompts.longest, longest=recipe.eval.max_tokens,
        )  # fmt: skip
        load = Load(problems, each, prompts.tokens, lengths.tokens, prompts.image_tokens)
        rows = min(getattr(config, "rows", 2**31), config.block_size * samples)
        seconds = seconds_of_sampling(
            base.shapes, load, self.machine, world(recipe.launch.processes),
            rows=rows, longest=recipe.eval.max_tokens, width=width,
        )  # fmt: skip
        lines = {"weights": base.shapes.total * width, "sampler": own}
        return EvaluationPlan(points, lines, forward_flops(base.shapes, load), seconds, problems * each, lengths)

    def eval_folders(self, asked: Asked) -> list[Path]:
        """The entries of a suite's answers, the first checkpoint's first."""
        if not self.entries.can_tell():
            return []
        draws = (self.entries.draws(one, asked.suite, asked.metrics, asked.samples) for one in asked.checkpoints)
        return [one.folder for found in draws for one in found]

    def points(self, asked: Asked) -> int:
        """Checkpoints on which a suite has still to be sampled."""
        if not self.entries.can_tell():
            return len(asked.checkpoints)
        return sum(
            not self.entries.sampled(one, asked.suite, asked.metrics, asked.samples) for one in asked.checkpoints
        )

    def disk(self) -> dict[str, int]:
        """Bytes on the disk: checkpoints of the stage at work, policies and samples that stay."""
        checkpoints = [3 * plan.checkpoint_bytes() for plan in self.stages.values()]  # two, and one being written
        policies = [
            plan.policy_bytes() * (1 + len(self.entries.kept_steps(name, plan.steps)))
            for name, plan in self.stages.items()
        ]
        answers = sum(
            one.points * one.answers * (ANSWER_BYTES + TOKEN_BYTES * one.completions.tokens)
            for one in self.evaluations.values()
        )
        return {"checkpoints": max(checkpoints, default=0), "policies": sum(policies), "samples": round(answers)}

    def assumptions(self) -> Iterator[str]:
        """What the numbers stand on, a sentence each."""
        for name, plan in self.stages.items():
            yield f"`{name}`: {plan.prompts.why}; {plan.completions.why}."
        for suite, one in self.evaluations.items():
            yield f"suite `{suite}`: {one.completions.why}."
        yield MEMORY
        if self.machine.fused_update:
            yield "AdamW on a GPU: its update holds, for a moment, one more float32 copy of what trains."
        if world(self.entries.file.recipe.launch.processes) > 1:
            yield PROCESSES
        yield DISK
        yield self.about_time()

    def about_time(self) -> str:
        """What the times stand on."""
        here = self.machine
        if not here.peak or not here.bandwidth:
            return (
                f"time is not estimated on {here.name}: its peak is not known, or says nothing of small models; "
                "`--device h200` (h100, a100, l40s, rtx4090) estimates it for that device."
            )
        return (
            f"time: {UTILISATION:.0%} of {here.peak / 1e12:.0f} TFLOP/s (dense bfloat16, data sheet) in training, "
            f"{BANDWIDTH_USED:.0%} of {here.bandwidth / 1e12:.2f} TB/s in sampling, which reads all weights once a "
            "step of its rows; rewards, loading and saving take no time."
        )
