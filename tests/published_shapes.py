"""`config.json` of published checkpoints, as far as shapes go, and folders with nothing else in them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

TOKENS = {"image_token_id": 151655, "video_token_id": 151656, "vision_start_token_id": 151652,
          "vision_end_token_id": 151653}  # fmt: skip


def qwen2_5_vl(
    hidden: int, inner: int, layers: int, heads: tuple[int, int], vocabulary: int, *, tied: bool, vision: int = 3420
) -> dict[str, Any]:
    return {
        "architectures": ["Qwen2_5_VLForConditionalGeneration"], "model_type": "qwen2_5_vl", "hidden_size": hidden,
        "intermediate_size": inner, "num_hidden_layers": layers, "num_attention_heads": heads[0],
        "num_key_value_heads": heads[1], "vocab_size": vocabulary, "tie_word_embeddings": tied,
        "sliding_window": 32768, "use_sliding_window": False, "max_position_embeddings": 128000,
        "rope_theta": 1000000.0, "rope_scaling": {"type": "mrope", "mrope_section": [16, 24, 24]}, **TOKENS,
        "vision_config": {
            "depth": 32, "hidden_size": 1280, "intermediate_size": vision, "num_heads": 16, "in_chans": 3,
            "out_hidden_size": hidden, "patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 2,
            "window_size": 112, "fullatt_block_indexes": [7, 15, 23, 31],
        },
    }  # fmt: skip


def qwen3_vl_8b() -> dict[str, Any]:
    text = {
        "model_type": "qwen3_vl_text", "hidden_size": 4096, "intermediate_size": 12288, "num_hidden_layers": 36,
        "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151936,
        "max_position_embeddings": 262144, "rope_theta": 5000000,
        "rope_scaling": {"mrope_interleaved": True, "mrope_section": [24, 20, 20], "rope_type": "default"},
    }  # fmt: skip
    vision = {
        "depth": 27, "hidden_size": 1152, "intermediate_size": 4304, "num_heads": 16, "in_channels": 3,
        "out_hidden_size": 4096, "patch_size": 16, "spatial_merge_size": 2, "temporal_patch_size": 2,
        "num_position_embeddings": 2304, "deepstack_visual_indexes": [8, 16, 24],
    }  # fmt: skip
    return {
        "architectures": ["Qwen3VLForConditionalGeneration"], "model_type": "qwen3_vl", "text_config": text,
        "vision_config": vision, "tie_word_embeddings": False, **TOKENS,
    }  # fmt: skip


CONFIGS = {
    "qwen2.5-vl-3b": qwen2_5_vl(2048, 11008, 36, (16, 2), 151936, tied=True),
    "qwen2.5-vl-7b": qwen2_5_vl(3584, 18944, 28, (28, 4), 152064, tied=False),
    "qwen2.5-vl-72b": qwen2_5_vl(8192, 29568, 80, (64, 8), 152064, tied=False, vision=3456),
    "qwen3-vl-8b": qwen3_vl_8b(),
}


def folder_of(name: str, place: Path) -> Path:
    """A folder with a published checkpoint's config, and no weights."""
    folder = place / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(CONFIGS[name]))
    return folder
