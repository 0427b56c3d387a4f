"""TRL's own trainers on canned rollouts: generation alone is put in place; all that follows it is theirs, measured."""

from __future__ import annotations

import tempfile
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer

from bench.contenders import DEFAULTS, MATCHED, MICRO_BATCH
from bench.contenders.packed import UNCLIPPED
from bench.lengths import Lengths
from bench.shapes import Subject
from bench.workloads import Canned, conversation
from warmrl.packed.support import family_of


def settings(subject: Subject, samples: int, *, checkpointing: bool) -> dict[str, Any]:
    """What every trainer is told."""
    micro = min(MICRO_BATCH, samples)
    return {
        "output_dir": tempfile.mkdtemp(prefix="warmrl-bench-trl-"), "use_cpu": subject.device == "cpu",
        "bf16": subject.dtype == "bfloat16", "report_to": "none", "disable_tqdm": True,
        "per_device_train_batch_size": micro, "gradient_accumulation_steps": samples // micro,
        "gradient_checkpointing": checkpointing,
    }  # fmt: skip


def ready(trainer: Any, *, checkpointing: bool) -> Any:
    """A trainer in the state in which `train()` calls its steps."""
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = trainer.args.gradient_accumulation_steps
    if checkpointing:
        trainer.model.activation_checkpointing_enable()
    return trainer


class CannedGRPO(GRPOTrainer):
    """GRPO whose sampler gives what it is given."""

    answers: list[list[int]] | None
    logprobs: list[list[float]] | None = None

    def _generate_single_turn(self, *given: Any, **more: Any) -> Any:
        if self.answers is None:
            return super()._generate_single_turn(*given, **more)
        return [list(ids) for ids in self.answers], self.logprobs


@dataclass
class Trainer:
    """An update of a trainer: all micro-batches of a step, then clipping and an optimizer that changes nothing."""

    subject: Subject
    rollouts: Canned
    defaults: bool = False

    def __post_init__(self) -> None:
        self.name = DEFAULTS if self.defaults else MATCHED
        self.model = deepcopy(self.subject.model).to(self.subject.device)
        self.trainer = ready(self.build(), checkpointing=self.defaults)
        self.still = torch.optim.SGD([p for p in self.model.parameters() if p.requires_grad], lr=0.0)
        self.checkpointing = self.defaults
        how = "gradient checkpointing, " if self.defaults else "no gradient checkpointing, "
        self.about = f"{how}micro-batches of {self.trainer.args.per_device_train_batch_size}"

    @property
    def decoder(self) -> Any:
        """Where tokens are counted."""
        base = self.model.get_base_model() if hasattr(self.model, "get_base_model") else self.model
        return base.get_submodule(family_of(base).language_model)

    def build(self) -> Any:
        """The trainer."""
        raise NotImplementedError

    def micro_batches(self) -> tuple[list[Any], Any]:
        """What `train()` hands to `training_step`, one by one; and how many tokens are trained where it counts."""
        raise NotImplementedError

    def update(self) -> float:
        """From rollouts to gradients."""
        trainer = self.trainer
        self.still.zero_grad(set_to_none=True)
        batches, tokens = self.micro_batches()
        loss = sum(float(trainer.training_step(self.model, batch, tokens)) for batch in batches)
        trainer.accelerator.clip_grad_norm_(self.model.parameters(), UNCLIPPED)
        self.still.step()
        return loss


class GRPO(Trainer):
    """`GRPOTrainer`: tokenising, image processing, padding, scoring and advantages, micro-batches, loss, backward.

    With its defaults gradient checkpointing is on, and the old log-probability pass is made that its importance
    sampling correction for vLLM (on by default, with vLLM) asks for.
    """

    def build(self) -> Any:
        rewards = [reward for group in self.rollouts.rewards for reward in group]
        args = GRPOConfig(
            **settings(self.subject, self.rollouts.rollouts, checkpointing=self.defaults), beta=0.0,
            num_generations=self.rollouts.workload.answers,
        )  # fmt: skip
        trainer = CannedGRPO(
            self.model, reward_funcs=lambda **_: rewards, args=args,
            train_dataset=Dataset.from_dict({"prompt": ["w9"] * 8}), processing_class=self.subject.processor,
        )  # fmt: skip
        trainer.answers = [list(answer) for group in self.rollouts.answers for answer in group]
        return trainer

    def micro_batches(self) -> tuple[list[Any], Any]:
        return [self.rows()] * self.trainer.args.gradient_accumulation_steps, None

    def rows(self) -> list[dict[str, Any]]:
        """The generation batch: every prompt once for each of its completions."""
        groups = zip(self.rollouts.problems, self.rollouts.answers, strict=True)
        return [{"prompt": conversation(problem)} for problem, group in groups for _ in group]

    def sample_as_vllm(self) -> None:
        """Give log-probabilities of the samples as vLLM does (TRL's own: a sampler without any mismatch).

        It makes TRL compute the old ones at every step.
        """
        trainer = self.trainer
        trainer.use_vllm = True
        trainer.logprobs = [[0.0] * len(answer) for answer in trainer.answers]
        scored = trainer._generate_and_score_completions(self.rows())
        pairs = zip(scored["old_per_token_logps"], scored["completion_mask"].bool(), strict=True)
        trainer.logprobs = [logprobs[mask].tolist() for logprobs, mask in pairs]
        self.about += ", old log-probability pass"


class GRPOStep(GRPO):
    """The same with its own sampling, `generate`; lengths are canned by a logits processor."""

    def build(self) -> Any:
        lengths = [len(answer) for group in self.rollouts.answers for answer in group]
        trainer = super().build()
        trainer.answers = None
        trainer.generation_config.max_new_tokens = max(lengths)
        trainer.generation_kwargs["max_new_tokens"] = max(lengths)
        generate = self.model.generate
        end = self.subject.words.end
        self.model.generate = lambda **given: generate(**given, logits_processor=[Lengths(lengths, end)])
        return trainer
