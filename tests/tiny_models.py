"""Tiny random models of the families that the packed core knows, and prompts for them, without processors."""

from __future__ import annotations

import importlib.util

import torch
from torch import Tensor, nn

from warmrl.packed.plan import Prompt

VOCAB = 61
IMAGE = 60
FAMILIES = ("idefics3", "qwen2_5_vl", "qwen3", "llama")
VISION = ("idefics3", "qwen2_5_vl")

_STAND_IN: list[torch.library.Library] = []


def stand_in_for_torchvision() -> None:
    """Define the two operators without which the registry's torchvision fails to import next to a CPU torch."""
    if _STAND_IN or torch.version.cuda or importlib.util.find_spec("torchvision") is None:
        return
    _STAND_IN.append(torch.library.Library("torchvision", "FRAGMENT"))
    for name in ("nms", "qnms"):
        _STAND_IN[0].define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


stand_in_for_torchvision()


def tiny_model(family: str, *, seed: int = 0, width: int = 64, vocab: int = VOCAB, layers: int = 2) -> nn.Module:
    """A random float32 model of a family, `width` wide, in evaluation mode."""
    torch.manual_seed(seed)
    model = _BUILD[family](width, vocab, layers)
    with torch.no_grad():
        for name, parameter in model.named_parameters():  # random biases and norms too, so that each has a gradient
            if parameter.ndim == 1:
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


def _idefics3(width: int, vocab: int, layers: int) -> nn.Module:
    from transformers import Idefics3Config, Idefics3ForConditionalGeneration

    vision = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
              "image_size": 24, "patch_size": 6}  # fmt: skip
    text = {"model_type": "llama", **_text(width, vocab, layers)}
    config = Idefics3Config(
        vision_config=vision, text_config=text, image_token_id=IMAGE, scale_factor=2, pad_token_id=0,
        tie_word_embeddings=True,
    )  # fmt: skip
    return Idefics3ForConditionalGeneration(config)


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


def _qwen3(width: int, vocab: int, layers: int) -> nn.Module:
    from transformers import Qwen3Config, Qwen3ForCausalLM

    return Qwen3ForCausalLM(Qwen3Config(**_text(width, vocab, layers, head_dim=32)))


def _llama(width: int, vocab: int, layers: int) -> nn.Module:
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(LlamaConfig(**_text(width, vocab, layers)))


_BUILD = {"idefics3": _idefics3, "qwen2_5_vl": _qwen2_5_vl, "qwen3": _qwen3, "llama": _llama}


def tiny_prompt(family: str, text: int = 7, images: int = 0, *, seed: int = 0, keys: tuple[str, ...] = ()) -> Prompt:
    """A prompt of `text` random tokens with random images in its middle."""
    draw = torch.Generator().manual_seed(seed)
    words = torch.randint(3, 50, (text,), generator=draw)
    if not images:
        return Prompt(words)
    pixels, counts = _PIXELS[family](images, torch.Generator().manual_seed(1000 + seed))
    parts = [words[: text // 2]]
    for count in counts:
        parts += [torch.tensor([58]), torch.full((count,), IMAGE), torch.tensor([57])]
    return Prompt(torch.cat([*parts, words[text // 2 :]]), pixels, keys or tuple(f"{seed}-{i}" for i in range(images)))


def _tiles(images: int, draw: torch.Generator) -> tuple[dict[str, Tensor], list[int]]:
    pixels = torch.randn(1, images, 3, 24, 24, generator=draw)
    seen = torch.ones(1, images, 24, 24, dtype=torch.bool)
    return {"pixel_values": pixels, "pixel_attention_mask": seen}, [4] * images


def _patches(images: int, draw: torch.Generator) -> tuple[dict[str, Tensor], list[int]]:
    sides = [(4, 4 + 2 * (i % 3)) for i in range(images)]
    grid = torch.tensor([[1, h, w] for h, w in sides])
    pixels = torch.randn(int(grid.prod(1).sum()), 3 * 2 * 4 * 4, generator=draw)
    return {"pixel_values": pixels, "image_grid_thw": grid}, [h * w // 4 for h, w in sides]


_PIXELS = {"idefics3": _tiles, "qwen2_5_vl": _patches}
