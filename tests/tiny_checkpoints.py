"""Folders of tiny random Qwen checkpoints as transformers saves them: weights, generation settings and a processor of
the real classes. They need torchvision (the families' video processors do); `needs_torchvision` skips without it.

Heads are 32 wide, the narrowest that vLLM takes; an image has 4 to 64 tokens.
"""

from __future__ import annotations

import importlib.util
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import randomized, stand_in_for_torchvision
from torch import nn

stand_in_for_torchvision()
needs_torchvision = pytest.mark.skipif(
    importlib.util.find_spec("torchvision") is None,
    reason="processors of Qwen2.5-VL and Qwen3-VL need torchvision; `pip install -c constraints.txt '.[test]'` has it",
)

END, TURN, TURN_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
IMAGE, VIDEO, VISION, VISION_END = "<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>"
SPECIAL = [END, TURN, TURN_END, VISION, VISION_END, "<|vision_pad|>", IMAGE, VIDEO]
MAX_TOKENS = 2048
# What the tokenizer's merges are learnt from: the words that prompts of tests have most.
TEXT = """system You are a helpful assistant. user assistant
You FIRST think about the reasoning process as an internal monologue and then provide the final answer. The reasoning
process MUST BE enclosed within <think> </think> tags. The final answer MUST BE put in \\boxed{}.
Find the area of the circle, the triangle or the rectangle in the figure. Round to the nearest tenth if necessary.
What is the length of the side? Find x and y. Choices: (A) (B) (C) (D) Question: Hint: Please answer the question"""
# The families' own, without tools and videos: a system turn is put first where there is none (Qwen2.5-VL's).
CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{%- if SYSTEM and loop.first and message.role != 'system' -%}"
    "{{- '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' -}}{%- endif -%}"
    "{{- '<|im_start|>' + message.role + '\\n' -}}"
    "{%- if message.content is string -%}{{- message.content -}}"
    "{%- else -%}{%- for part in message.content -%}"
    "{%- if part.type == 'image' -%}{{- '<|vision_start|><|image_pad|><|vision_end|>' -}}"
    "{%- else -%}{{- part.text -}}{%- endif -%}"
    "{%- endfor -%}{%- endif -%}"
    "{{- '<|im_end|>\\n' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"
)


def write_qwen2_5_vl(folder: Path, seed: int = 0, layers: int = 2) -> Path:
    """A random Qwen2.5-VL (about 0.4 M parameters) with its processor. The same seed gives the same bytes."""
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration, Qwen2_5_VLProcessor

    tokenizer = qwen_tokenizer()
    rope = {"rope_type": "default", "mrope_section": [4, 6, 6], "rope_theta": 1e4}
    vision = {**_vision(14), "depth": 2, "window_size": 112, "fullatt_block_indexes": [1]}
    text = _text(tokenizer, layers, rope_parameters=rope)
    config = Qwen2_5_VLConfig(text_config=text, vision_config=vision, **_tokens(tokenizer), tie_word_embeddings=False)
    processor = _processor(Qwen2_5_VLProcessor, tokenizer, patch=14, system=True)
    return _write(folder, Qwen2_5_VLForConditionalGeneration, config, processor, seed)


def write_qwen3_vl(folder: Path, seed: int = 0, layers: int = 2) -> Path:
    """A random Qwen3-VL (about 0.5 M parameters) with its processor. The same seed gives the same bytes."""
    from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration, Qwen3VLProcessor

    tokenizer = qwen_tokenizer()
    rope = {"rope_type": "default", "mrope_section": [6, 5, 5], "mrope_interleaved": True, "rope_theta": 1e4}
    vision = {**_vision(16), "depth": 3, "num_position_embeddings": 64, "deepstack_visual_indexes": [0, 1]}
    text = _text(tokenizer, layers, rope_parameters=rope, head_dim=32)
    config = Qwen3VLConfig(text_config=text, vision_config=vision, **_tokens(tokenizer), tie_word_embeddings=True)
    processor = _processor(Qwen3VLProcessor, tokenizer, patch=16, system=False)
    return _write(folder, Qwen3VLForConditionalGeneration, config, processor, seed)


@lru_cache(maxsize=1)
def qwen_tokenizer() -> Any:
    """A byte-level BPE tokenizer of the families' class, about 450 tokens; any text comes back as it was."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers
    from transformers import Qwen2Tokenizer
    from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX

    words = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(PRETOKENIZE_REGEX), behavior="isolated")
    letters = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    words.pre_tokenizer = pre_tokenizers.Sequence([split, letters])
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=512, initial_alphabet=alphabet, show_progress=False)
    words.train_from_iterator([TEXT], trainer)
    model = json.loads(words.to_str())["model"]
    merges = [tuple(pair) for pair in model["merges"]]
    return Qwen2Tokenizer(
        vocab=model["vocab"], merges=merges, eos_token=TURN_END, pad_token=END, unk_token=END,
        additional_special_tokens=SPECIAL, padding_side="left", model_max_length=MAX_TOKENS,
        clean_up_tokenization_spaces=False,
    )  # fmt: skip


def _text(tokenizer: Any, layers: int, **more: object) -> dict[str, Any]:
    return {
        "vocab_size": len(tokenizer), "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": layers,
        "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": MAX_TOKENS,
        "bos_token_id": _id(tokenizer, END), "eos_token_id": _id(tokenizer, TURN_END),
        "pad_token_id": _id(tokenizer, END), **more,
    }  # fmt: skip


def _vision(patch: int) -> dict[str, Any]:
    return {
        "hidden_size": 64, "intermediate_size": 128, "num_heads": 2, "out_hidden_size": 64, "in_channels": 3,
        "patch_size": patch, "spatial_merge_size": 2, "temporal_patch_size": 2,
    }  # fmt: skip


def _tokens(tokenizer: Any) -> dict[str, int]:
    names = {"image_token_id": IMAGE, "video_token_id": VIDEO, "vision_start_token_id": VISION}
    return {name: _id(tokenizer, token) for name, token in {**names, "vision_end_token_id": VISION_END}.items()}


def _id(tokenizer: Any, token: str) -> int:
    return int(tokenizer.convert_tokens_to_ids(token))


def _processor(family: Any, tokenizer: Any, *, patch: int, system: bool) -> Any:
    """The family's processor; images keep their size between 4 and 64 tokens."""
    from transformers import Qwen2VLImageProcessor, Qwen2VLVideoProcessor, Qwen3VLVideoProcessor

    token = (2 * patch) ** 2
    options: dict[str, Any] = {
        "patch_size": patch, "merge_size": 2, "temporal_patch_size": 2,
        "size": {"shortest_edge": 4 * token, "longest_edge": 64 * token},
    }  # fmt: skip
    video = Qwen2VLVideoProcessor if patch == 14 else Qwen3VLVideoProcessor
    template = "{%- set SYSTEM = " + str(system).lower() + " -%}" + CHAT_TEMPLATE
    return family(Qwen2VLImageProcessor(**options), tokenizer, video(**options), chat_template=template)


def _write(folder: Path, family: Any, config: Any, processor: Any, seed: int) -> Path:
    from transformers import GenerationConfig

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: nn.Module = randomized(family(config))
    tokenizer = processor.tokenizer
    ends = [_id(tokenizer, TURN_END), _id(tokenizer, END)]
    model.generation_config = GenerationConfig(eos_token_id=ends, pad_token_id=ends[1], bos_token_id=ends[1])
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
