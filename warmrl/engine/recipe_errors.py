"""Refusals of a recipe as sentences: the TOML path, the value, the rule, the nearest name, the peers' words."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

# What other tools call our keys, so that a person who comes from one finds the way.
PEER_WORDS = {
    "actor_lr": "learning_rate",
    "adv_estimator": "use",
    "batch_size": "prompts_per_step",
    "beta": "reference_kl",
    "clip_ratio_high": "clip_high",
    "clip_ratio_low": "clip_low",
    "entropy_coef": "entropy_bonus",
    "entropy_coeff": "entropy_bonus",
    "epsilon": "clip_low",
    "epsilon_high": "clip_high",
    "generation_batch_size": "prompts_per_step",
    "horizon": "kl_horizon",
    "init_kl_coef": "reference_kl",
    "kl_coef": "reference_kl",
    "loss_mode": "loss",
    "loss_type": "loss",
    "lr": "learning_rate",
    "lr_scheduler_type": "schedule",
    "max_completion_length": "max_tokens",
    "max_new_tokens": "max_tokens",
    "max_num_gen_batches": "resample",
    "max_response_length": "max_tokens",
    "max_steps": "steps",
    "min_lr": "min_learning_rate",
    "model_name_or_path": "path",
    "n": "samples_per_prompt",
    "num_generations": "samples_per_prompt",
    "num_iterations": "updates_per_rollout",
    "num_train_epochs": "epochs",
    "per_device_train_batch_size": "prompts_per_step",
    "policy_loss": "loss",
    "ppo_epochs": "updates_per_rollout",
    "rollout_batch_size": "prompts_per_step",
    "rollout_n": "samples_per_prompt",
    "target_kl": "kl_target",
    "teacher_model_name_or_path": "teacher",
    "torch_dtype": "dtype",
    "train_batch_size": "prompts_per_step",
    "warmup_ratio": "warmup",
}


def explain(path: Path, error: ValidationError, model: type[BaseModel], at: str | None = None) -> str:
    """One paragraph for every problem of a recipe (or of its table `at`) that failed validation."""
    where, extra = ((at,), ()) if at else ((), ("extends",))
    errors = error.errors(include_url=False)
    lines = list(dict.fromkeys(sentences(errors, where, [*model.model_fields, *extra], model)))
    head = f"{path}: " if len(lines) == 1 else f"{path} has {len(lines)} problems: "
    return head + " ".join(lines)


def sentences(
    errors: Sequence[Any], prefix: tuple[str | int, ...], known: Sequence[str], model: type[BaseModel] | None
) -> Iterator[str]:
    """A sentence per error, nested tables of plugins included."""
    for error in errors:
        where = (*prefix, *error["loc"])
        context = error.get("ctx", {})
        if error["type"] == "nested":
            yield from sentences(context["errors"], where, context["known"], None)
        elif error["type"] == "plugin":
            yield f"`{dotted((*where, *([context['key']] if 'key' in context else [])))}`: {error['msg']}."
        else:
            yield sentence(error, where, keys_at(model, error["loc"]) if model else known)


def sentence(error: dict[str, Any], where: tuple[str | int, ...], known: Sequence[str]) -> str:
    """What is wrong at one place, and how to mend it."""
    at, key = dotted(where), str(where[-1]) if where else ""
    if error["type"] == "extra_forbidden":
        return f"`{at}` is no key here{instead(key, known)}"
    if error["type"] == "missing":
        return f"`{at}` is missing; it has no default, so set it."
    rule = error["msg"].removeprefix("Value error, ").rstrip(".")
    value = "" if isinstance(error["input"], dict) else f" is {error['input']!r}"
    return f"`{at}`{value}: {rule[0].lower()}{rule[1:]}."


def instead(key: str, known: Sequence[str]) -> str:
    """What to write instead of an unknown key."""
    word = PEER_WORDS.get(key)
    if word in known:
        return f"; `{key}` is `{word}` here."
    near = difflib.get_close_matches(key, known, n=1)
    return f"; did you mean `{near[0]}`?" if near else f"; known keys: {', '.join(sorted(known))}."


def keys_at(model: type[BaseModel], loc: Sequence[str | int]) -> list[str]:
    """The keys of the engine's table that holds the last element of `loc`."""
    here: Any = model
    for part in loc[:-1]:
        field = getattr(here, "model_fields", {}).get(part)
        here = field.annotation if field else None
    fields = list(getattr(here, "model_fields", {}))
    return [*fields, "extends"] if here is model and "version" in fields else fields


def dotted(where: Sequence[str | int]) -> str:
    """A TOML path: `stage.warm.teacher.path`, list positions in brackets."""
    out = ""
    for part in where:
        if part == "[key]":
            continue
        out += f"[{part}]" if isinstance(part, int) else f".{part}" if out else str(part)
    return out
