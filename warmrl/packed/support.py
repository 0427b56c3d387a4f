"""Which models the packed core takes: why one is refused, or why its completions cannot share their prompt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from warmrl.packed.families import FAMILIES, Family

# Decoders of which the tests know that rows, gradients and decoding are exact.
DECODERS = {
    "llama", "mistral", "qwen2", "qwen3", "qwen2_5_vl_text", "qwen3_vl_text", "qwen3_5_text", "gemma3_text",
}  # fmt: skip
# What a config says about experts, whose load needs a loss of its own, and about logits that are no plain product.
EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts")
CAPS = ("final_logit_softcapping", "attn_logit_softcapping")
SCALES = ("logit_scale", "logits_scaling")
DROPOUTS = ("attention_dropout", "hidden_dropout_prob", "projection_dropout", "drop_path_rate")


def family_of(model: Any) -> Family:
    """The family of a model; raises `ValueError` with one sentence for a model that the core does not compute."""
    kind = model.config.model_type
    decoder = model.config.get_text_config().model_type
    reason = why_refused(model)
    if reason is None and kind not in FAMILIES:
        reason = f"the packed core knows {', '.join(sorted(FAMILIES))}"
    if reason is None and decoder not in DECODERS:
        kind, reason = f"{kind}` with a decoder `{decoder}", f"the packed core knows {', '.join(sorted(DECODERS))}"
    if reason:
        raise ValueError(f"model family `{kind}` is not supported: {reason}")
    return FAMILIES[kind]


def why_refused(model: Any) -> str | None:
    """What in a model makes the core's log-probabilities or gradients wrong; None when nothing is known to."""
    config = model.config.get_text_config()
    ropes = _rope_types(getattr(config, "rope_parameters", None) or {}) & {"dynamic", "longrope"}
    vision = getattr(getattr(model.config, "vision_config", None), "model_type", None)
    capped = [name for name in CAPS if getattr(config, name, None)]
    scaled = [name for name in SCALES if getattr(config, name, None) not in (None, 1)]
    head = model.get_output_embeddings()
    found = {
        "it has no output head": head is None,
        "its output head has a bias": getattr(head, "bias", None) is not None,
        f"`{''.join(capped[:1])}` caps its logits": capped,
        f"`{''.join(scaled[:1])}` scales its logits": scaled,
        "attention sinks take a share of every token's attention": any(hasattr(m, "sinks") for m in model.modules()),
        "it is a mixture of experts, whose loss for balanced experts is not computed": any(
            getattr(config, name, None) for name in EXPERTS
        ),
        f"`{''.join(ropes)}` rotary positions depend on the longest completion in the row": ropes,
        "the tokens of an image attend to each other in both directions": model.config.model_type == "gemma3",
        "its tokens attend in both directions": getattr(config, "use_bidirectional_attention", None),
        "its vision tower computes images of several sizes padded together": vision == "pixtral",
    }
    return next((reason for reason, holds in found.items() if holds), None)


def _rope_types(parameters: Mapping[str, Any]) -> set[str]:
    """The kinds of rotary positions; a decoder may have one for each type of layer."""
    nested = [one for one in parameters.values() if isinstance(one, Mapping)]
    return {parameters.get("rope_type", "default")}.union(*map(_rope_types, nested))


def why_unpacked(language_model: Any) -> str | None:
    """Why prompts and completions cannot be laid end to end in a row; None when they can."""
    config = language_model.config
    kinds = set(getattr(config, "layer_types", None) or ())
    if kinds - {"full_attention"}:
        return f"layers of type {', '.join(sorted(kinds - {'full_attention'}))} carry or cut what a completion may see"
    if not kinds and getattr(config, "sliding_window", None) and getattr(config, "use_sliding_window", True):
        return "sliding-window attention cuts what a completion may see"
    return None


def why_unshared(language_model: Any) -> str | None:
    """Why completions cannot share their prompt's computation exactly in training; None when they can."""
    if drops(language_model):
        return "dropout draws anew for every copy of a prompt: set it (attention's, LoRA's) to 0"
    return why_unpacked(language_model)


def drops(module: Any) -> bool:
    """Whether a module uses dropout in training."""
    parts = list(module.modules())
    configs = [part.config for part in parts if hasattr(part, "config")]
    return any(isinstance(part, nn.Dropout) and part.p > 0 for part in parts) or any(
        getattr(config, name, None) for config in configs for name in DROPOUTS
    )
