"""What differs between model families: where the parts of a model are, image features, positions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from warmrl.packed.plan import Prompt

# The processor's outputs for one image, or for several that cannot be told apart.
Pixels = Mapping[str, Tensor]


@dataclass(frozen=True)
class Family:
    """How to reach into a transformers model without patching it.

    `vision`, `projector`, `language_model` and the output head hold every parameter, and none of them twice.

    Args:
        language_model: Path of the decoder within the model.
        text_config: Name of the decoder's configuration within the model's; empty when it is the model's own.
        positions: Position ids `[axes, P]` of a prompt.
        vision: Paths of the vision tower's parts; none: text only.
        projector: Paths of what maps its outputs to the decoder's width.
        images: A prompt's pixels by image; the prompt's as they are where its images cannot be told apart.
        features: `[L, image tokens, H]` for each of the pixels given, in one run of the vision tower. The first is
            the input of the decoder; the others, where there are some, are added behind its first layers (DeepStack).
    """

    language_model: str
    text_config: str
    positions: Callable[[Any, Prompt], Tensor]
    vision: tuple[str, ...] = ()
    projector: tuple[str, ...] = ()
    images: Callable[[Any, Prompt], Sequence[Pixels]] | None = None
    features: Callable[[Any, Sequence[Pixels]], Sequence[Tensor]] | None = None


def _line(_model: Any, prompt: Prompt) -> Tensor:
    """Positions 0, 1, 2, ...: `[1, P]`."""
    return torch.arange(len(prompt.ids), device=prompt.ids.device)[None]


def _mrope(model: Any, prompt: Prompt) -> Tensor:
    """Time, height and width positions of Qwen2.5-VL, Qwen3-VL and Qwen3.5: `[3, P]`."""
    kinds = (prompt.ids == model.config.image_token_id).int()
    grid = prompt.pixels.get("image_grid_thw")
    positions, _ = model.model.get_rope_index(prompt.ids[None], mm_token_type_ids=kinds[None], image_grid_thw=grid)
    return positions[:, 0]


def _runs(model: Any, prompt: Prompt) -> tuple[Tensor, Tensor]:
    """Where the runs of image tokens begin in a prompt, and their lengths: `[runs]` each."""
    image = torch.nn.functional.pad((prompt.ids == model.config.image_token_id).int(), (1, 1)).diff()
    starts, ends = (image == 1).nonzero()[:, 0], (image == -1).nonzero()[:, 0]
    return starts, ends - starts


def _split(pixels: Pixels, counts: Sequence[int], axis: int) -> list[Pixels]:
    """Pixels cut into images of so many tiles along an axis; as they are when the counts do not add up."""
    if any(states.shape[axis] != sum(counts) for states in pixels.values()):
        return [pixels]
    parts = {name: states.split(list(counts), axis) for name, states in pixels.items()}
    return [{name: part[i] for name, part in parts.items()} for i in range(len(counts))]


def _named(pixels: Pixels, *names: str) -> Pixels:
    return {name: pixels[name] for name in names if name in pixels}


def _tiled_images(model: Any, prompt: Prompt) -> list[Pixels]:
    """Idefics3, SmolVLM: an image is some tiles of detail and then its overview, a run of image tokens for each.

    The token before a run names the tile; the prompt's last run is an overview, and so is each run named like it.
    """
    starts, _ = _runs(model, prompt)
    names = prompt.ids[starts - 1]
    last = (names == names[-1:]).nonzero()[:, 0] + 1
    counts = last.diff(prepend=last.new_zeros(1)).tolist()
    return _split(_named(prompt.pixels, "pixel_values", "pixel_attention_mask"), counts, 1)


def _tiled_features(model: Any, images: Sequence[Pixels]) -> list[Tensor]:
    """Idefics3, SmolVLM: `pixel_values` `[1, tiles, 3, h, w]`; images of equal tile size run together."""
    found: dict[int, Tensor] = {}
    for size in sorted({pixels["pixel_values"].shape[-2:] for pixels in images}):
        members = [i for i, pixels in enumerate(images) if pixels["pixel_values"].shape[-2:] == size]
        named = [_named(images[i], "pixel_values", "pixel_attention_mask") for i in members]
        inputs = {name: torch.cat([one[name] for one in named], 1) for name in named[0]}
        features = torch.cat(list(model.model.get_image_features(**inputs).pooler_output))
        tiles = [images[i]["pixel_values"].shape[1] for i in members]
        per_tile = len(features) // sum(tiles)
        found |= dict(zip(members, features.split([per_tile * n for n in tiles]), strict=True))
    return [found[i][None] for i in range(len(images))]


def _patched_images(_model: Any, prompt: Prompt) -> list[Pixels]:
    """Qwen2.5-VL and later: `image_grid_thw` `[images, 3]` says how many patches each image has."""
    grid = prompt.pixels["image_grid_thw"]
    patches = prompt.pixels["pixel_values"].split(grid.prod(1).tolist())
    return [{"pixel_values": own, "image_grid_thw": one} for own, one in zip(patches, grid.split(1), strict=True)]


def _patched_features(model: Any, images: Sequence[Pixels]) -> list[Tensor]:
    """Qwen2.5-VL and later: `pixel_values` `[patches, d]` and `image_grid_thw` `[images, 3]`, all end to end."""
    pixels, grids = ([image[name] for image in images] for name in ("pixel_values", "image_grid_thw"))
    out = model.model.get_image_features(torch.cat(pixels), torch.cat(grids))
    layers = [out.pooler_output, *getattr(out, "deepstack_features", ())]
    held = (torch.stack(parts) for parts in zip(*layers, strict=True))
    return [torch.cat([next(held) for _ in grid], 1) for grid in grids]


def _single_images(_model: Any, prompt: Prompt) -> list[Pixels]:
    """LLaVA: one square for each image."""
    return _split(_named(prompt.pixels, "pixel_values"), [1] * len(prompt.pixels["pixel_values"]), 0)


def _cropped_images(model: Any, prompt: Prompt) -> list[Pixels]:
    """InternVL: an image is some crops; their tokens make one run."""
    _, lengths = _runs(model, prompt)
    counts = (lengths // model.config.image_seq_length).tolist()
    return _split(_named(prompt.pixels, "pixel_values"), counts, 0)


def _square_features(model: Any, images: Sequence[Pixels]) -> list[Tensor]:
    """LLaVA, InternVL: `pixel_values` `[squares, 3, h, w]`, all images end to end."""
    squares = [image["pixel_values"] for image in images]
    features = model.model.get_image_features(torch.cat(squares)).pooler_output
    held = iter(features)
    return [torch.cat([next(held) for _ in own])[None] for own in squares]


def _tiled() -> Family:
    return Family(
        "model.text_model", "text_config", _line, ("model.vision_model",), ("model.connector",),
        _tiled_images, _tiled_features,
    )  # fmt: skip


FAMILIES = {
    "idefics3": _tiled(),
    "smolvlm": _tiled(),
    "qwen2_5_vl": Family(
        "model.language_model", "text_config", _mrope,
        ("model.visual.patch_embed", "model.visual.blocks"), ("model.visual.merger",),
        _patched_images, _patched_features,
    ),
    "qwen3_vl": Family(
        "model.language_model", "text_config", _mrope,
        ("model.visual.patch_embed", "model.visual.pos_embed", "model.visual.blocks"),
        ("model.visual.merger", "model.visual.deepstack_merger_list"),
        _patched_images, _patched_features,
    ),
    "qwen3_5": Family(
        "model.language_model", "text_config", _mrope,
        ("model.visual.patch_embed", "model.visual.pos_embed", "model.visual.blocks"), ("model.visual.merger",),
        _patched_images, _patched_features,
    ),
    "llava": Family(
        "model.language_model", "text_config", _line, ("model.vision_tower",), ("model.multi_modal_projector",),
        _single_images, _square_features,
    ),
    "internvl": Family(
        "model.language_model", "text_config", _line, ("model.vision_tower",), ("model.multi_modal_projector",),
        _cropped_images, _square_features,
    ),
    "qwen3": Family("model", "", _line),
    "qwen2": Family("model", "", _line),
    "llama": Family("model", "", _line),
    "mistral": Family("model", "", _line),
    "qwen3_5_text": Family("model", "", _line),
    "gemma3_text": Family("model", "", _line),
}  # fmt: skip
