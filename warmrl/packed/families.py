"""What differs between model families: where the language model is, image features, positions, what can be shared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from warmrl.packed.plan import Prompt


@dataclass(frozen=True)
class Family:
    """How to reach into a transformers model without patching it.

    Args:
        language_model: Path of the decoder within the model.
        text_config: Name of the decoder's configuration within the model's; empty when it is the model's own.
        features: Image features `[image tokens, H]` of each prompt, in one run of the vision tower; None: text only.
        positions: Position ids `[axes, P]` of a prompt.
    """

    language_model: str
    text_config: str
    features: Callable[[Any, Sequence[Prompt]], list[Tensor]] | None
    positions: Callable[[Any, Prompt], Tensor]
    vision: tuple[str, ...] = ()
    projector: tuple[str, ...] = ()


def _line(_model: Any, prompt: Prompt) -> Tensor:
    """Positions 0, 1, 2, ...: `[1, P]`."""
    return torch.arange(len(prompt.ids), device=prompt.ids.device)[None]


def _mrope(model: Any, prompt: Prompt) -> Tensor:
    """Qwen2.5-VL's time, height and width positions: `[3, P]`."""
    kinds = (prompt.ids == model.config.image_token_id).int()
    grid = prompt.pixels.get("image_grid_thw")
    positions, _ = model.model.get_rope_index(prompt.ids[None], mm_token_type_ids=kinds[None], image_grid_thw=grid)
    return positions[:, 0]


def _tiles(model: Any, prompts: Sequence[Prompt]) -> list[Tensor]:
    """Idefics3: `pixel_values` `[1, tiles, 3, h, w]`; prompts of equal tile size run together."""
    found: list[Tensor | None] = [None] * len(prompts)
    sizes = {prompt.pixels["pixel_values"].shape[-2:] for prompt in prompts}
    for size in sorted(sizes):
        members = [i for i, prompt in enumerate(prompts) if prompt.pixels["pixel_values"].shape[-2:] == size]
        inputs = {}
        for name in ("pixel_values", "pixel_attention_mask"):
            if name in prompts[members[0]].pixels:
                inputs[name] = torch.cat([prompts[i].pixels[name] for i in members], 1)
        features = torch.cat(list(model.model.get_image_features(**inputs).pooler_output))
        tiles = [prompts[i].pixels["pixel_values"].shape[1] for i in members]
        per_tile = len(features) // sum(tiles)
        for i, part in zip(members, features.split([per_tile * n for n in tiles]), strict=True):
            found[i] = part
    return [part for part in found if part is not None]


def _patches(model: Any, prompts: Sequence[Prompt]) -> list[Tensor]:
    """Qwen2.5-VL: `pixel_values` `[patches, d]` and `image_grid_thw` `[images, 3]`, all prompts end to end."""
    pixels, grids = ([prompt.pixels[name] for prompt in prompts] for name in ("pixel_values", "image_grid_thw"))
    images = model.model.get_image_features(torch.cat(pixels), torch.cat(grids)).pooler_output
    held = iter(images)
    return [torch.cat([next(held) for _ in grid]) for grid in grids]


FAMILIES = {
    "idefics3": Family("model.text_model", "text_config", _tiles, _line, ("model.vision_model",), ("model.connector",)),
    "qwen2_5_vl": Family("model.language_model", "text_config", _patches, _mrope, ("model.visual",)),
    "qwen3": Family("model", "", None, _line),
    "qwen2": Family("model", "", None, _line),
    "llama": Family("model", "", None, _line),
}


def family_of(model: Any) -> Family:
    """The family of a model; raises `ValueError` with one sentence for a model that the core does not know."""
    kind = model.config.model_type
    if kind not in FAMILIES:
        known = ", ".join(sorted(FAMILIES))
        raise ValueError(f"model family `{kind}` is not supported: the packed core knows {known}")
    head = model.get_output_embeddings()
    if head is None or getattr(head, "bias", None) is not None:
        raise ValueError(f"`{type(model).__name__}` has no output head without a bias, which the packed core needs")
    return FAMILIES[kind]


def why_unpacked(language_model: Any) -> str | None:
    """Why the decoder's attention is none that the packed core can compute; None when it is."""
    config = language_model.config
    others = set(getattr(config, "layer_types", None) or ()) - {"full_attention"}
    if others:
        return f"layers of type {', '.join(sorted(others))} carry or cut what a completion may see"
    if getattr(config, "use_sliding_window", None) and getattr(config, "sliding_window", None):
        return "sliding-window attention cuts what a completion may see"
    if any(hasattr(part, "sinks") for part in language_model.modules()):
        return "attention sinks are not supported by the packed attention"
    rope = (getattr(config, "rope_parameters", None) or {}).get("rope_type", "default")
    if rope in ("dynamic", "longrope"):
        return f"`{rope}` rotary positions depend on the longest completion in the row"
    return None


def why_unshared(language_model: Any) -> str | None:
    """Why completions cannot share their prompt's computation exactly in training; None when they can."""
    dropped = any(isinstance(part, nn.Dropout) and part.p > 0 for part in language_model.modules())
    if dropped or getattr(language_model.config, "attention_dropout", None):
        return "dropout draws anew for every copy of a prompt: set it (attention's, LoRA's) to 0"
    return why_unpacked(language_model)
