"""Tiny random models of the families that the packed core knows, and prompts for them, without processors."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from warmrl.packed.plan import Prompt

VOCAB = 61
IMAGE = 60
VISION = ("idefics3", "smolvlm", "qwen2_5_vl", "qwen3_vl", "llava", "internvl")
TEXT = ("qwen3", "qwen2", "llama", "mistral")
WITH_IMAGES = (*VISION, "qwen3_5")
# One of each kind, for tests that are about something else.
FAMILIES = ("idefics3", "qwen2_5_vl", "qwen3_vl", "qwen3", "llama")
# Layers of Qwen3.5 and Qwen3-Next: one linear, one of full attention.
LINEAR = {
    "layer_types": ["linear_attention", "full_attention"], "linear_key_head_dim": 16, "linear_value_head_dim": 16,
    "linear_num_key_heads": 2, "linear_num_value_heads": 4,
}  # fmt: skip

_STAND_IN: list[torch.library.Library] = []


def stand_in_for_torchvision() -> None:
    """Define the two operators without which the registry's torchvision fails to import next to a CPU torch."""
    if importlib.util.find_spec("torchvision") is None or torch.version.cuda or hasattr(torch.ops.torchvision, "nms"):
        return
    _STAND_IN.append(torch.library.Library("torchvision", "FRAGMENT"))
    for name in ("nms", "qnms"):
        _STAND_IN[0].define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


stand_in_for_torchvision()


def tiny_model(family: str, *, seed: int = 0, width: int = 64, vocab: int = VOCAB, layers: int = 2) -> nn.Module:
    """A random float32 model of a family, `width` wide, in evaluation mode."""
    torch.manual_seed(seed)
    return randomized(_BUILD[family](width, vocab, layers))


def randomized(model: nn.Module) -> nn.Module:
    """The model in evaluation mode, with weights large enough that no tensor's gradient is near zero."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():  # random biases and norms too, so that each has a gradient
            if name.endswith(
                "A_log"
            ):  # so slow a decay that many tokens carry on, and its gradient is well-conditioned
                parameter.copy_(0.1 * torch.randn_like(parameter) - 2)
            elif parameter.ndim == 1:
                parameter.add_(0.1 * torch.randn_like(parameter))
            elif "embed" in name:
                parameter.copy_(0.15 * torch.randn_like(parameter))
            elif parameter.ndim == 2:
                parameter.copy_(torch.randn_like(parameter) / parameter.shape[1] ** 0.5)
    return model.eval()


def _text(width: int, vocab: int, layers: int, **more: object) -> dict:
    return {
        "vocab_size": vocab, "hidden_size": width, "intermediate_size": 2 * width, "num_hidden_layers": layers,
        "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 512,
        "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, **more,
    }  # fmt: skip


def _idefics3(width: int, vocab: int, layers: int, family: str = "Idefics3") -> nn.Module:
    import transformers

    vision = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
              "image_size": 24, "patch_size": 6}  # fmt: skip
    text = {"model_type": "llama", **_text(width, vocab, layers)}
    config = getattr(transformers, f"{family}Config")(
        vision_config=vision, text_config=text, image_token_id=IMAGE, scale_factor=2, pad_token_id=0,
        tie_word_embeddings=True,
    )  # fmt: skip
    return getattr(transformers, f"{family}ForConditionalGeneration")(config)


def _smolvlm(width: int, vocab: int, layers: int) -> nn.Module:
    return _idefics3(width, vocab, layers, "SmolVLM")


def _qwen2_5_vl(width: int, vocab: int, layers: int) -> nn.Module:
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    section = [4, 6, 6] if width == 64 else [8, 12, 12]
    rope = {"rope_type": "default", "mrope_section": section, "rope_theta": 1e4}
    text = _text(width, vocab, layers, rope_parameters=rope)
    vision = {"depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "out_hidden_size": width,
              "patch_size": 4, "spatial_merge_size": 2, "temporal_patch_size": 2, "window_size": 16,
              "fullatt_block_indexes": [1], "in_channels": 3}  # fmt: skip
    config = Qwen2_5_VLConfig(
        text_config=text, vision_config=vision, image_token_id=IMAGE, video_token_id=59, vision_start_token_id=58,
        vision_end_token_id=57, pad_token_id=0, tie_word_embeddings=False,
    )  # fmt: skip
    return Qwen2_5_VLForConditionalGeneration(config)


def _qwen3_vl(width: int, vocab: int, layers: int) -> nn.Module:
    from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

    rope = {"rope_type": "default", "mrope_section": [6, 5, 5], "mrope_interleaved": True, "rope_theta": 1e4}
    text = _text(width, vocab, layers, head_dim=32, rope_parameters=rope)
    vision = {"depth": 3, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "out_hidden_size": width,
              "patch_size": 4, "spatial_merge_size": 2, "temporal_patch_size": 2, "num_position_embeddings": 64,
              "deepstack_visual_indexes": [0, 1], "in_channels": 3}  # fmt: skip
    config = Qwen3VLConfig(
        text_config=text, vision_config=vision, image_token_id=IMAGE, video_token_id=59, vision_start_token_id=58,
        vision_end_token_id=57, tie_word_embeddings=True,
    )  # fmt: skip
    return Qwen3VLForConditionalGeneration(config)


def _qwen3_5(width: int, vocab: int, layers: int) -> nn.Module:
    from transformers import Qwen3_5Config, Qwen3_5ForConditionalGeneration

    rope = {"rope_type": "default", "mrope_section": [6, 5, 5], "mrope_interleaved": True, "rope_theta": 1e4,
            "partial_rotary_factor": 1.0}  # fmt: skip
    text = _text(width, vocab, layers, head_dim=32, rope_parameters=rope, **LINEAR)
    vision = {"depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "out_hidden_size": width,
              "patch_size": 4, "spatial_merge_size": 2, "temporal_patch_size": 2, "num_position_embeddings": 64,
              "in_channels": 3}  # fmt: skip
    config = Qwen3_5Config(
        text_config=text, vision_config=vision, image_token_id=IMAGE, video_token_id=59, vision_start_token_id=58,
        vision_end_token_id=57,
    )  # fmt: skip
    return Qwen3_5ForConditionalGeneration(config)


def _llava(width: int, vocab: int, layers: int) -> nn.Module:
    from transformers import LlavaConfig, LlavaForConditionalGeneration

    vision = {"model_type": "clip_vision_model", "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3,
              "num_attention_heads": 2, "image_size": 12, "patch_size": 6, "projection_dim": 32}  # fmt: skip
    text = {"model_type": "llama", **_text(width, vocab, layers)}
    config = LlavaConfig(vision_config=vision, text_config=text, image_token_index=IMAGE, image_seq_length=4)
    return LlavaForConditionalGeneration(config)


def _internvl(width: int, vocab: int, layers: int) -> nn.Module:
    from transformers import InternVLConfig, InternVLForConditionalGeneration

    vision = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
              "image_size": [24, 24], "patch_size": [6, 6]}  # fmt: skip
    text = {"model_type": "qwen2", **_text(width, vocab, layers)}
    config = InternVLConfig(vision_config=vision, text_config=text, image_token_id=IMAGE, image_seq_length=4)
    return InternVLForConditionalGeneration(config)


def text_model(name: str, width: int, vocab: int, layers: int, **more: object) -> nn.Module:
    """A random language model of the class `<name>ForCausalLM`."""
    import transformers

    family = getattr(transformers, f"{name}ForCausalLM")
    return family(family.config_class(**_text(width, vocab, layers, **more)))


_BUILD: dict[str, Callable[[int, int, int], nn.Module]] = {
    "idefics3": _idefics3,
    "smolvlm": _smolvlm,
    "qwen2_5_vl": _qwen2_5_vl,
    "qwen3_vl": _qwen3_vl,
    "qwen3_5": _qwen3_5,
    "llava": _llava,
    "internvl": _internvl,
    "qwen3": partial(text_model, "Qwen3", head_dim=32),
    "qwen2": partial(text_model, "Qwen2"),
    "llama": partial(text_model, "Llama"),
    "mistral": partial(text_model, "Mistral", sliding_window=None),
}


def tiny_prompt(
    family: str, text: int = 7, images: int | Sequence[int] = 0, *, seed: int = 0, keys: tuple[str, ...] | None = None
) -> Prompt:
    """A prompt of `text` random tokens with images in its middle: so many of `seed`'s, or those of these seeds."""
    draw = torch.Generator().manual_seed(seed)
    words = torch.randint(3, 50, (text,), generator=draw)
    seeds = [1000 * seed + i for i in range(images)] if isinstance(images, int) else images
    if not seeds:
        return Prompt(words)
    drawn = [_PIXELS[family](torch.Generator().manual_seed(1000 + one), one % 3) for one in seeds]
    axis = 1 if _PIXELS[family] is _tiles else 0
    pixels = {name: torch.cat([one[name] for one, _ in drawn], axis) for name in drawn[0][0]}
    ids = torch.cat([words[: text // 2], *(ids for _, ids in drawn), words[text // 2 :]])
    return Prompt(ids, pixels, tuple(f"image {one}" for one in seeds) if keys is None else keys)


Drawn = tuple[dict[str, Tensor], Tensor]


def _tokens(count: int, before: int = 58) -> Tensor:
    """The tokens of an image or of one of its tiles, with those around it."""
    return torch.tensor([before, *[IMAGE] * count, 57])


def _tiles(draw: torch.Generator, kind: int) -> Drawn:
    """Idefics3 and SmolVLM: an overview, which comes last, and sometimes two tiles of detail before it."""
    tiles = 3 if kind == 2 else 1
    pixels = torch.randn(1, tiles, 3, 24, 24, generator=draw)
    ids = torch.cat([*(_tokens(4, 50 + i) for i in range(tiles - 1)), _tokens(4)])
    return {"pixel_values": pixels, "pixel_attention_mask": torch.ones(1, tiles, 24, 24, dtype=torch.bool)}, ids


def _patches(draw: torch.Generator, kind: int) -> Drawn:
    """Qwen2.5-VL and later: any size."""
    grid = torch.tensor([[1, 4, 4 + 2 * kind]])
    patches = int(grid.prod())
    return {"pixel_values": torch.randn(patches, 96, generator=draw), "image_grid_thw": grid}, _tokens(patches // 4)


def _squares(draw: torch.Generator, kind: int) -> Drawn:
    """LLaVA: one size."""
    return {"pixel_values": torch.randn(1, 3, 12, 12, generator=draw)}, _tokens(4)


def _crops(draw: torch.Generator, kind: int) -> Drawn:
    """InternVL: some crops of one size, their tokens side by side."""
    crops = 3 if kind == 2 else 1
    return {"pixel_values": torch.randn(crops, 3, 24, 24, generator=draw)}, _tokens(4 * crops)


_PIXELS = {
    "idefics3": _tiles,
    "smolvlm": _tiles,
    "qwen2_5_vl": _patches,
    "qwen3_vl": _patches,
    "qwen3_5": _patches,
    "llava": _squares,
    "internvl": _crops,
}
