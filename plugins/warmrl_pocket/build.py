"""Builds a pocket checkpoint from nothing: tokenizer, processor and a randomly initialised Idefics3 model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    GenerationConfig,
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    Idefics3ImageProcessorPil,
    Idefics3Processor,
    PreTrainedTokenizerFast,
)

from warmrl_pocket.render import CELL, GRID, SIDE

# The names Idefics3 knows its tokens by; `<end_of_utterance>` ends a turn, as in its published checkpoints.
PAD, END, UNKNOWN, IMAGE = "<pad>", "<end_of_utterance>", "<unk>", "<image>"
SPECIAL = [PAD, END, UNKNOWN, IMAGE, "<fake_token_around_image>", "<global-img>", "<system>", "<user>", "<assistant>"]
WORDS = [
    *"0123456789",
    *"+-*=.?",
    *("<think>", "</think>", "<answer>", "</answer>"),
    *("read", "and", "so", "it", "is", "of"),
    *("area", "perimeter", "diameter", "angle", "length", "sum", "max", "range"),
    *("rectangle", "circle", "triangle", "segment", "bars"),
]
IMAGE_TOKENS = GRID * GRID
MAX_TOKENS = 128

CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "<{{ message.role }}>"
    "{%- if message.content is string -%}{{ message.content }}"
    "{%- else -%}{%- for part in message.content -%}"
    "{%- if part.type == 'image' -%}<image>{%- else -%}{{ part.text }}{%- endif -%}"
    "{%- endfor -%}{%- endif -%}"
    "{%- if message.role == 'assistant' -%}<end_of_utterance>{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}<assistant>{%- endif -%}"
)


@dataclass(frozen=True)
class Size:
    """Widths of a pocket model. Heads are 32 wide, the narrowest that vLLM takes."""

    hidden: int
    intermediate: int
    layers: int = 3
    vision_hidden: int = 96
    vision_intermediate: int = 192


SIZES = {"random": Size(hidden=96, intermediate=256), "random-teacher": Size(hidden=128, intermediate=320)}


def build_tokenizer() -> PreTrainedTokenizerFast:
    """A word-level tokenizer of 48 tokens: digits one by one, everything else whole, a space between words."""
    vocabulary = {word: index for index, word in enumerate([*SPECIAL, *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.WhitespaceSplit(),
            pre_tokenizers.Split(Regex(r"<[^<>]*>|[0-9]|[-+*=.?]"), behavior="isolated"),
        ]
    )
    # Digits join up, every other token stands between spaces: decoding gives back the text that was encoded.
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace(Regex(r"^(?=[^0-9])|(?<=[^0-9])$"), " "),
            decoders.Fuse(),
            decoders.Replace(Regex(r" +"), " "),
            decoders.Replace(Regex(r"^ | $"), ""),
        ]
    )
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        unk_token=UNKNOWN,
        additional_special_tokens=[token for token in SPECIAL if token not in (PAD, END, UNKNOWN)],
        padding_side="left",
        clean_up_tokenization_spaces=False,
        model_max_length=MAX_TOKENS,
    )


def build_processor() -> Idefics3Processor:
    """Tokenizer and image processor: a figure becomes 16 image tokens, one for each cell."""
    side = {"longest_edge": SIDE}
    images = Idefics3ImageProcessorPil(
        size=side,
        max_image_size=side,
        do_resize=False,
        do_image_splitting=False,
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
    )
    return Idefics3Processor(images, build_tokenizer(), image_seq_len=IMAGE_TOKENS, chat_template=CHAT_TEMPLATE)


def build_model(size: Size, seed: int = 0) -> Idefics3ForConditionalGeneration:
    """A model with random weights; the same size and seed give the same weights."""
    tokenizer = build_tokenizer()
    text = {
        "model_type": "llama",
        "vocab_size": len(tokenizer),
        "hidden_size": size.hidden,
        "intermediate_size": size.intermediate,
        "num_hidden_layers": size.layers,
        "num_attention_heads": size.hidden // 32,
        "num_key_value_heads": size.hidden // 32,
        "max_position_embeddings": MAX_TOKENS,
        "initializer_range": 0.08,
        "tie_word_embeddings": True,
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision = {
        "hidden_size": size.vision_hidden,
        "intermediate_size": size.vision_intermediate,
        "num_hidden_layers": 1,
        "num_attention_heads": size.vision_hidden // 32,
        "image_size": SIDE,
        "patch_size": CELL,
        "initializer_range": 0.08,
    }
    config = Idefics3Config(
        text_config=text,
        vision_config=vision,
        scale_factor=1,
        image_token_id=tokenizer.convert_tokens_to_ids(IMAGE),
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        dtype="float32",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Idefics3ForConditionalGeneration(config)
    model.generation_config = GenerationConfig(eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id)
    return model.eval()


def build(folder: Path, size: Size, seed: int = 0) -> None:
    """Write a randomly initialised checkpoint with its processor into `folder`."""
    build_model(size, seed).save_pretrained(folder)
    build_processor().save_pretrained(folder)
