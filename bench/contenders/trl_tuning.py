"""TRL's trainers for supervised fine-tuning, for preference pairs and for distillation."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from datasets import Dataset
from trl import DistillationConfig, DistillationTrainer, DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

from bench.contenders.packed_pairs import BETA
from bench.contenders.trl_trainers import Trainer, settings
from bench.workloads import conversation, words_of


class SFT(Trainer):
    """`SFTTrainer` with its vision collator, which pads; it refuses packing for images."""

    def build(self) -> Any:
        args = SFTConfig(**settings(self.subject, self.rollouts.rollouts, checkpointing=self.defaults), max_length=None)
        return SFTTrainer(
            self.model, args=args, train_dataset=Dataset.from_list(self.rows()),
            processing_class=self.subject.processor,
        )  # fmt: skip

    def rows(self) -> list[dict[str, Any]]:
        """Prompts and worked answers, in TRL's prompt-completion format."""
        pairs = zip(self.rollouts.problems, self.rollouts.answers, strict=True)
        return [
            without_images(conversation(problem))
            | {"completion": [{"role": "assistant", "content": words_of(answer[:-1])}]}
            for problem, (answer,) in pairs
        ]

    def micro_batches(self) -> tuple[list[Any], Any]:
        rows, size = self.rows(), self.trainer.args.per_device_train_batch_size
        batches = [self.trainer.data_collator(rows[i : i + size]) for i in range(0, len(rows), size)]
        return batches, sum((batch["labels"] >= 0).sum() for batch in batches)


@dataclass
class DPO(Trainer):
    """`DPOTrainer` with a reference model: its own collator, the reference's pass in every step."""

    reference: Any = None

    def build(self) -> Any:
        args = DPOConfig(
            **settings(self.subject, len(self.rollouts.problems), checkpointing=self.defaults), max_length=None,
            beta=BETA,
        )  # fmt: skip
        return DPOTrainer(
            self.model, ref_model=deepcopy(self.reference), args=args, train_dataset=Dataset.from_list(self.rows()),
            processing_class=self.subject.processor,
        )  # fmt: skip

    def rows(self) -> list[dict[str, Any]]:
        """Pairs as TRL's preference datasets hold them."""
        out = []
        for problem, (chosen, rejected) in zip(self.rollouts.problems, self.rollouts.answers, strict=True):
            row = without_images(conversation(problem))
            for name, ids in (("chosen", chosen), ("rejected", rejected)):
                row[name] = [{"role": "assistant", "content": words_of(ids[:-1])}]
            out.append(row)
        return out

    def micro_batches(self) -> tuple[list[Any], Any]:
        rows, size = self.rows(), self.trainer.args.per_device_train_batch_size
        return [self.trainer.data_collator(rows[i : i + size]) for i in range(0, len(rows), size)], None


class CannedDistillation(DistillationTrainer):
    """Distillation whose student's samples are given."""

    answers: list[list[int]]

    def _generate_single_turn(self, *_: Any, **__: Any) -> Any:
        return [list(ids) for ids in self.answers]


@dataclass
class Distillation(Trainer):
    """`DistillationTrainer` with its default, the reverse KL, on the same samples (each prompt once for each)."""

    teacher: Any = None

    def build(self) -> Any:
        args = DistillationConfig(
            **settings(self.subject, self.rollouts.rollouts, checkpointing=self.defaults), temperature=1.0
        )
        trainer = CannedDistillation(
            self.model, deepcopy(self.teacher), args=args, train_dataset=Dataset.from_dict({"prompt": ["w9"] * 16}),
            processing_class=self.subject.processor,
        )  # fmt: skip
        trainer.answers = [list(answer) for group in self.rollouts.answers for answer in group]
        return trainer

    def micro_batches(self) -> tuple[list[Any], Any]:
        groups = zip(self.rollouts.problems, self.rollouts.answers, strict=True)
        rows = [{"prompt": conversation(problem)} for problem, group in groups for _ in group]
        return [rows] * self.trainer.args.gradient_accumulation_steps, None


def without_images(prompt: list[dict[str, Any]]) -> dict[str, Any]:
    """A conversation as TRL's vision datasets hold it: text in the prompt, images beside it."""
    ((turn),) = prompt
    images = [part["image"] for part in turn["content"] if part["type"] == "image"]
    (text,) = (part["text"] for part in turn["content"] if part["type"] == "text")
    return {"prompt": [{"role": turn["role"], "content": text}], "images": images}
