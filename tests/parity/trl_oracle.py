"""TRL's own trainers on a checkpoint, and canned groups in the shape that their losses take.

The trainers are built for real (model, processor and dataset on disk, nothing downloaded); only sampling is left out:
`compute_loss` is called with the batch that their own generation step would have made.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from parity.subjects import Update, gradients_of
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModelForImageTextToText, AutoProcessor
from trl import (
    DistillationConfig,
    DistillationTrainer,
    DPOConfig,
    DPOTrainer,
    GRPOConfig,
    GRPOTrainer,
    SFTConfig,
    SFTTrainer,
)

from warmrl.domain.group import Group
from warmrl.engine.policy import Policy
from warmrl.packed.plan import Prompt


def settings(folder: Path, batch: int) -> dict[str, Any]:
    """What every trainer is told: float32 on a CPU, one batch an update, nothing logged or recomputed."""
    return {
        "output_dir": str(folder / "trl"), "use_cpu": True, "bf16": False, "report_to": "none",
        "gradient_checkpointing": False, "per_device_train_batch_size": batch, "disable_tqdm": True,
    }  # fmt: skip


def model_at(folder: Path) -> Any:
    """The checkpoint as transformers gives it, in float32."""
    return AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32)


def ready(trainer: Any) -> Any:
    """A trainer in the state in which `train()` calls its loss: training mode, no accumulation."""
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = 1
    return trainer


def grpo_trainer(folder: Path, reference: Path, batch: int, **config: Any) -> GRPOTrainer:
    """GRPO on `folder`; with `beta` TRL loads its reference from the path that the model says it came from."""
    model = model_at(folder)
    model.config._name_or_path = str(reference)
    args = GRPOConfig(**settings(folder, batch), num_generations=batch, **config)
    data = Dataset.from_dict({"prompt": ["area"] * batch})
    return ready(
        GRPOTrainer(
            model, reward_funcs=lambda completions, **_: [0.0] * len(completions), args=args, train_dataset=data,
            processing_class=AutoProcessor.from_pretrained(folder),
        )
    )  # fmt: skip


def distillation_trainer(folder: Path, teacher: Path, batch: int, beta: float) -> DistillationTrainer:
    """Distillation from `teacher` into `folder`."""
    args = DistillationConfig(**settings(folder, batch), beta=beta, temperature=1.0)
    data = Dataset.from_dict({"prompt": ["area"] * batch})
    return ready(
        DistillationTrainer(
            model_at(folder), model_at(teacher), args=args, train_dataset=data,
            processing_class=AutoProcessor.from_pretrained(folder),
        )
    )  # fmt: skip


def sft_trainer(folder: Path, examples: Sequence[dict[str, Any]]) -> SFTTrainer:
    """SFT on prompts and completions with images, with TRL's own vision collator."""
    args = SFTConfig(**settings(folder, len(examples)), max_length=None)
    return ready(
        SFTTrainer(
            model_at(folder), args=args, train_dataset=Dataset.from_list(list(examples)),
            processing_class=AutoProcessor.from_pretrained(folder),
        )
    )  # fmt: skip


def dpo_trainer(folder: Path, reference: Path, examples: Sequence[dict[str, Any]], **config: Any) -> DPOTrainer:
    """DPO on pairs with images against `reference`, with TRL's own vision collator."""
    args = DPOConfig(**settings(folder, len(examples)), max_length=None, **config)
    return ready(
        DPOTrainer(
            model_at(folder), model_at(reference), args=args, train_dataset=Dataset.from_list(list(examples)),
            processing_class=AutoProcessor.from_pretrained(folder),
        )
    )  # fmt: skip


def update_of(trainer: Any, batch: dict[str, Any]) -> Update:
    """The trainer's own loss of a batch and what its backward pass gives."""
    trainer.model.zero_grad()
    loss = trainer.compute_loss(trainer.model, dict(batch))
    trainer.accelerator.backward(loss)
    return Update(float(loss.detach()), gradients_of(trainer.model))


def reference_logprobs(trainer: GRPOTrainer, batch: dict[str, Any]) -> Tensor:
    """Log-probabilities under TRL's own reference model, by the method and arguments of its scoring step."""
    ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], 1)
    mask = torch.cat([batch["prompt_mask"], batch["completion_mask"]], 1)
    vision = {name: batch[name] for name in ("pixel_values", "pixel_attention_mask", "num_images")}
    with torch.no_grad():
        return trainer._get_per_token_logps_and_entropies(
            trainer.ref_model, ids, mask, batch["completion_ids"].size(1), **vision
        )[0]


def batch_of(policy: Policy, groups: Sequence[Group]) -> dict[str, Any]:
    """All completions in one batch: prompts padded left, completions right, missing images as zeros (as Idefics3's
    own processor pads them)."""
    prompts = [policy.encode_prompt(group.views[0]) for group in groups for _ in group.completions]
    completions = [one for group in groups for one in group.completions]
    tokens = [torch.tensor(one.tokens) for one in completions]
    trained = padded([torch.tensor(one.train or [True] * len(one.tokens)) for one in completions]).long()
    return {
        "prompt_ids": padded([prompt.ids for prompt in prompts], "left"),
        "prompt_mask": padded([torch.ones_like(prompt.ids) for prompt in prompts], "left"),
        "completion_ids": padded(tokens),
        "completion_mask": padded([torch.ones_like(one) for one in tokens]),
        "tool_mask": trained,
        "num_items_in_batch": trained.sum(),
        "advantages": torch.tensor([one.signals.get("advantage", 0.0) for one in completions]),
        **images(prompts),
    }


def signal(groups: Sequence[Group], name: str) -> Tensor:
    """A per-token signal of all completions, padded as the batch is."""
    return padded([one.signals[name] for group in groups for one in group.completions])


def padded(rows: Sequence[Tensor], side: str = "right") -> Tensor:
    """Rows of different lengths as one tensor, zeros where there is nothing."""
    return pad_sequence(list(rows), batch_first=True, padding_value=0, padding_side=side)


def images(prompts: Sequence[Prompt]) -> dict[str, Any]:
    """Pixels of each prompt's images `[B, most images, ...]`."""
    counts = [prompt.pixels["pixel_values"].shape[1] if prompt.pixels else 0 for prompt in prompts]
    shown = next(prompt.pixels for prompt in prompts if prompt.pixels)
    out: dict[str, Any] = {"num_images": counts}
    for name, example in shown.items():
        none = example[0, :0]
        out[name] = padded([prompt.pixels[name][0] if prompt.pixels else none for prompt in prompts])
    return out
