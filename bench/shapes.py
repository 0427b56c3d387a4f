"""Models with random weights to measure on, with real processors and nothing downloaded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers
from torch import nn
from transformers import (
    GenerationConfig,
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    Idefics3ImageProcessorPil,
    Idefics3Processor,
    PreTrainedTokenizerFast,
)

from bench.workloads import Vocabulary, Workload, image_side

PAD, END, IMAGE = "<pad>", "<end>", "<image>"
SPECIAL = (PAD, END, "<unk>", IMAGE, "<fake_token_around_image>", "<global-img>", "<user>", "<assistant>",
           "<end_of_utterance>")  # fmt: skip
TEMPLATE = (
    "{%- for message in messages -%}<{{ message.role }}>"
    "{%- if message.content is string -%}{{ message.content }}"
    "{%- else -%}{%- for part in message.content -%}"
    "{%- if part.type == 'image' -%}<image>{%- else -%}{{ part.text }}{%- endif -%}"
    "{%- endfor -%}{%- endif -%}"
    "{%- if message.role == 'assistant' -%}<end>{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}<assistant>{%- endif -%}"
)
PATCH, MERGE = 8, 2


@dataclass(frozen=True)
class Subject:
    """A model with its processor, the words that canned text is made of, and what it runs on and in."""

    model: Any
    processor: Any
    words: Vocabulary
    device: str = "cpu"
    dtype: str = "float32"


@dataclass(frozen=True)
class Shape:
    """A kind of model: how it is built for a workload at a scale (images differ in size), and at which scale it runs.

    Args:
        name: As `--shape` takes it.
        scale: Lengths of the workloads are divided by this.
        build: `(workload, scale, width)` to a subject; `width` 2 gives a teacher.
    """

    name: str
    scale: float
    build: Callable[[Workload, float, int], Subject]


def tokenizer(special: tuple[str, ...], size: int, pad: str, end: str) -> PreTrainedTokenizerFast:
    """A word-level tokenizer: the special tokens, then `wN` with the id N."""
    vocabulary = {name: i for i, name in enumerate([*special, *(f"w{i}" for i in range(len(special), size))])}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token=special[2]))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    return PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token=pad, eos_token=end, unk_token=special[2], padding_side="left",
        additional_special_tokens=[one for one in special if one not in (pad, end, special[2])],
        clean_up_tokenization_spaces=False,
    )  # fmt: skip


def spread(model: nn.Module, seed: int) -> None:
    """Random weights so large that no tensor's gradient drowns in rounding."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            noise = torch.randn(weight.shape, generator=draw)
            if weight.ndim == 1:
                weight.add_(0.1 * noise)
            elif "embed_tokens" in name:
                weight.copy_(noise)
            else:
                weight.copy_(noise / weight[0].numel() ** 0.5)


def small(workload: Workload, scale: float, width: int = 1) -> Subject:
    """An Idefics3 with the proportions of Qwen2.5-VL-7B (docs/performance.md states how near)."""
    side = image_side(workload, scale) or 4
    words = tokenizer(SPECIAL, 1792, PAD, END)
    words.chat_template = TEMPLATE
    pixels = {"longest_edge": side * PATCH * MERGE}
    images = Idefics3ImageProcessorPil(
        size=pixels, max_image_size=pixels, do_resize=False, do_image_splitting=False, image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
    )  # fmt: skip
    processor = Idefics3Processor(images, words, image_seq_len=side * side, chat_template=TEMPLATE)
    text = {
        "model_type": "llama", "vocab_size": 1792, "hidden_size": 320 * width, "intermediate_size": 1664 * width,
        "num_hidden_layers": 4, "num_attention_heads": 4 * width, "num_key_value_heads": 2 * width, "head_dim": 32,
        "max_position_embeddings": 16384, "bos_token_id": None, "eos_token_id": 1, "pad_token_id": 0,
        "tie_word_embeddings": False,
    }  # fmt: skip
    vision = {
        "hidden_size": 128, "intermediate_size": 768, "num_hidden_layers": 2, "num_attention_heads": 4,
        "image_size": side * PATCH * MERGE, "patch_size": PATCH,
    }  # fmt: skip
    model = Idefics3ForConditionalGeneration(
        Idefics3Config(
            vision_config=vision, text_config=text, scale_factor=MERGE, image_token_id=SPECIAL.index(IMAGE),
            tie_word_embeddings=False, pad_token_id=0, dtype="float32",
        )
    )  # fmt: skip
    spread(model, seed=width)
    model.generation_config = GenerationConfig(eos_token_id=1, pad_token_id=0)
    return Subject(model.eval(), processor, Vocabulary(len(SPECIAL), 1792, 1, 5, 2, PATCH * MERGE))


def qwen(size: str, *, lora: bool) -> Callable[[Workload, float, int], Subject]:
    """Qwen2.5-VL, whose classes are loaded when it is built."""

    def build(workload: Workload, scale: float, width: int = 1) -> Subject:
        from bench.shapes_qwen import qwen

        return qwen(size, lora)(workload, scale, width)

    return build


SHAPES = {
    "small": Shape("small", 4.0, small),
    "qwen2.5-vl-3b": Shape("qwen2.5-vl-3b", 1.0, qwen("3b", lora=False)),
    "qwen2.5-vl-7b-lora": Shape("qwen2.5-vl-7b-lora", 1.0, qwen("7b", lora=True)),
}
