"""What TRL's trainers are told: each setting of the stage under the name that it has there.

| here | there | differs |
|---|---|---|
| `steps`, `epochs` | `max_steps` | |
| `prompts_per_step` | `per_device_train_batch_size` x `gradient_accumulation_steps` | |
| `learning_rate`, `betas` | the same, `adam_beta1`, `adam_beta2` | |
| `schedule` | `lr_scheduler_type` | |
| `warmup` | `warmup_steps`: that share of all steps | TRL's first warm-up step has rate 0, ours the first share |
| `weight_decay` | the same | TRL leaves biases and norms out of it, ours decays all |
| `max_grad_norm` | the same | |
| `gradient_checkpointing` | the same; `auto` is TRL's default, on | |
| `[model] dtype` | `bf16`: autocast over float32 weights | |
| `train`, `lora` | the policy is handed over with them | |
| mean over trained tokens (`normalise = "token"`) | SFT's only way; DPO and KTO take means over rows | |

AdamW is torch's plain one (`adamw_torch`), as ours is. Nothing is truncated, saved, uploaded, reported or shuffled.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from warmrl.engine.api import Stage
from warmrl_trl.config import TRLConfig


def arguments(config: TRLConfig, stage: Stage, folder: Path, steps: int) -> dict[str, Any]:
    """The arguments of a trainer's config, for a run of `steps` updates that may write in `folder`."""
    warm, (beta1, beta2) = int(steps * config.warmup), config.betas
    schedule = "constant_with_warmup" if config.schedule == "constant" and warm else config.schedule
    named = config.told.model_dump(exclude_none=True)
    if config.trainer == "dpo" and config.told.losses:
        named["loss_type"] = config.told.losses
    elif config.told.losses:
        (named["loss_type"],) = config.told.losses
    named["per_device_train_batch_size"] = config.rows_per_pass
    return {
        "gradient_accumulation_steps": config.prompts_per_step // config.rows_per_pass,
        "learning_rate": config.learning_rate,
        "lr_scheduler_type": schedule,
        "warmup_steps": warm,
        "adam_beta1": beta1,
        "adam_beta2": beta2,
        "adam_epsilon": 1e-8,
        "weight_decay": config.weight_decay,
        "max_grad_norm": config.max_grad_norm,
        "optim": "adamw_torch",
        "gradient_checkpointing": config.gradient_checkpointing != "off",
        "bf16": stage.model.dtype == "bfloat16",
        **named,
        **in_silence(folder),
        "use_cpu": stage.processes.device.type == "cpu",
        "seed": int(stage.rng("trl").integers(2**31)),
    }


def in_silence(folder: Path) -> dict[str, Any]:
    """Arguments by which a trainer keeps to itself, and tells of every step."""
    return {
        "output_dir": str(folder),
        "train_sampling_strategy": "sequential",
        "max_length": None,
        "remove_unused_columns": False,
        "dataloader_pin_memory": False,
        "logging_strategy": "steps",
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "save_strategy": "no",
        "eval_strategy": "no",
        "report_to": "none",
        "push_to_hub": False,
        "disable_tqdm": True,
        "log_level": "error",
    }
