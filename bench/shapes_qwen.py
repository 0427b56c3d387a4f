"""Qwen2.5-VL at the sizes of its 3B and 7B models, with random weights, for a GPU."""

from __future__ import annotations

from typing import Any

import torch
from transformers import GenerationConfig, Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from bench.shapes import Subject, tokenizer
from bench.workloads import Vocabulary, Workload

# The ids of special tokens are ours; what they cost is the same.
PAD, END, UNKNOWN = "<|endoftext|>", "<|im_end|>", "<unk>"
START, STOP, IMAGE, VIDEO = "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"
SPECIAL = (PAD, END, UNKNOWN, START, STOP, IMAGE, VIDEO, "<user>", "<assistant>")
WORDS = 4096
TEMPLATE = (
    "{%- for message in messages -%}<{{ message.role }}>"
    "{%- if message.content is string -%}{{ message.content }}"
    "{%- else -%}{%- for part in message.content -%}"
    "{%- if part.type == 'image' -%}<|vision_start|><|image_pad|><|vision_end|>{%- else -%}{{ part.text }}{%- endif -%}"
    "{%- endfor -%}{%- endif -%}"
    "{%- if message.role == 'assistant' -%}<|im_end|>{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}<assistant>{%- endif -%}"
)
# hidden, intermediate, layers, heads, key heads, vocabulary, whether the head is the embedding
SIZES = {"3b": (2048, 11008, 36, 16, 2, 151936, True), "7b": (3584, 18944, 28, 28, 4, 152064, False)}
LORA_RANK = 64


def config_of(size: str) -> Qwen2_5_VLConfig:
    """The published sizes of text model and vision tower."""
    hidden, intermediate, layers, heads, key_heads, vocabulary, tied = SIZES[size]
    rope = {"rope_type": "default", "mrope_section": [16, 24, 24], "rope_theta": 1e6}
    text = {
        "hidden_size": hidden, "intermediate_size": intermediate, "num_hidden_layers": layers,
        "num_attention_heads": heads, "num_key_value_heads": key_heads, "vocab_size": vocabulary,
        "max_position_embeddings": 32768, "rope_parameters": rope, "tie_word_embeddings": tied,
        "pad_token_id": 0, "eos_token_id": 1, "bos_token_id": None,
    }  # fmt: skip
    vision = {
        "depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16, "out_hidden_size": hidden,
        "patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 2, "window_size": 112,
        "fullatt_block_indexes": [7, 15, 23, 31], "in_channels": 3,
    }  # fmt: skip
    ids = {name: SPECIAL.index(token) for name, token in (
        ("image_token_id", IMAGE), ("video_token_id", VIDEO), ("vision_start_token_id", START),
        ("vision_end_token_id", STOP),
    )}  # fmt: skip
    return Qwen2_5_VLConfig(text_config=text, vision_config=vision, tie_word_embeddings=tied, pad_token_id=0, **ids)


def processor() -> Any:
    """The real processor around a tokenizer of our own. Needs torchvision, as the family does."""
    from transformers import Qwen2_5_VLProcessor, Qwen2VLImageProcessor, Qwen2VLVideoProcessor

    words = tokenizer(SPECIAL, WORDS, PAD, END)
    words.chat_template = TEMPLATE
    images = Qwen2VLImageProcessor(min_pixels=28 * 28, max_pixels=4096 * 28 * 28)
    return Qwen2_5_VLProcessor(images, words, Qwen2VLVideoProcessor(), chat_template=TEMPLATE)


def qwen(size: str, lora: bool) -> Any:
    """A builder for `Shape`: full fine-tuning with float32 weights, or LoRA on a frozen bfloat16 base."""

    def build(_workload: Workload, _scale: float, width: int = 1) -> Subject:
        torch.manual_seed(width)
        with torch.device("cuda"):
            model = Qwen2_5_VLForConditionalGeneration(config_of(size))
        model.generation_config = GenerationConfig(eos_token_id=1, pad_token_id=0)
        if lora:
            from peft import LoraConfig, get_peft_model

            targets = r".*language_model.*\.(q|k|v|o|gate|up|down)_proj"
            model = get_peft_model(model.to(torch.bfloat16), LoraConfig(r=LORA_RANK, target_modules=targets))
        words = Vocabulary(len(SPECIAL), WORDS, 1, around_image=4, around_text=2, pixels=28)
        return Subject(model.eval(), processor(), words, "cuda", "bfloat16")

    return build
