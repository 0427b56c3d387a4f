"""How long prompts and completions will be: measured where the tokenizer or an earlier run is at hand, else assumed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from warmrl.domain.answer import AnswerStyle
from warmrl.domain.problem import Problem
from warmrl.domain.recipe import ModelTable
from warmrl.engine.budget import SHARE
from warmrl.engine.forecast.outline import Outline
from warmrl.engine.policy import size_of
from warmrl.engine.samples import blocks
from warmrl.engine.suites import asked
from warmrl.packed.plan import Prompt
from warmrl.packed.shapes import Shapes

# Problems whose prompts are encoded.
TRIED = 16
# A prompt where it cannot be encoded: W1's, 100 tokens of text and an image of 334.
TEXT_TOKENS, IMAGE_TOKENS = 100, 334


@dataclass(frozen=True)
class Prompts:
    """Prompts of a dataset.

    Args:
        tokens: Mean.
        longest: Most.
        image_tokens: Mean of those that stand for images.
        why: Where the numbers come from, in words.
        bytes: Mean of what an encoded one holds in host memory; 0: not known.
    """

    tokens: float
    longest: int
    image_tokens: float
    why: str
    bytes: float = 0.0


@dataclass(frozen=True)
class Completions:
    """Completions of a stage or an evaluation: mean and longest tokens, and where the numbers come from, in words."""

    tokens: float
    longest: int
    why: str


def prompts_of(found: Outline, problems: Sequence[Problem], style: AnswerStyle[Any]) -> Prompts:
    """Encode the first problems' prompts; without a processor, assume."""
    tried = problems[:TRIED]
    shown = sum(bool(one.images) for one in tried) / max(len(tried), 1)
    try:
        if found.processor is None:
            raise ValueError("the processor is not at hand")
        encoded = [found.policy.encode_prompt(asked(problem, style)) for problem in tried]
    except Exception as error:  # a processor's ways to fail are many, and a plan can do without
        image = assumed_image_tokens(found.shapes, found.table) * shown
        why = f"prompts of {TEXT_TOKENS} tokens of text and {image:.0f} of images are assumed ({short(error)})"
        return Prompts(TEXT_TOKENS + image, round(TEXT_TOKENS + image), image, why)
    lengths = [len(one.ids) for one in encoded]
    mean = sum(lengths) / len(lengths)
    images = sum(image_tokens(one, found.shapes) for one in encoded) / len(encoded)
    why = f"prompts of {mean:.0f} tokens ({images:.0f} of images) were measured on the first {len(tried)} problems"
    held = sum(map(size_of, encoded)) / len(encoded)
    return Prompts(mean, max(lengths), images, why, held)


def assumed(longest: int) -> tuple[Prompts, Completions]:
    """Lengths where nothing is measured."""
    tokens = TEXT_TOKENS + IMAGE_TOKENS
    return Prompts(tokens, tokens, IMAGE_TOKENS, "assumed"), Completions(SHARE * longest, longest, "assumed")


def image_tokens(prompt: Prompt, shapes: Shapes) -> float:
    """Tokens of a prompt that its images' patches become."""
    pixels = sum(prompt.pixels[name].numel() for name in ("pixel_values",) if name in prompt.pixels)
    return pixels / max(shapes.patch, 1) / shapes.patches


def assumed_image_tokens(shapes: Shapes, table: ModelTable) -> float:
    """Tokens of the largest image that `max_pixels` lets through, or W1's; none for a model without a tower."""
    if shapes.tower is None:
        return 0
    if table.max_pixels is None:
        return IMAGE_TOKENS
    frames = 2 if shapes.patch % 2 == 0 and "qwen" in shapes.family else 1
    return table.max_pixels * 3 * frames / shapes.patch / shapes.patches


def short(error: Exception) -> str:
    """The first line of an error."""
    return str(error).strip().splitlines()[0][:100].rstrip(".") if str(error).strip() else type(error).__name__


def sampled(folder: Path | None, longest: int) -> Completions:
    """Lengths of a stage that samples: those of its own earlier steps, or the assumption."""
    lengths = [row["length"] for row in rows_of(folder, "metrics.jsonl") if "length" in row]
    if lengths:
        why = (
            f"completions of {sum(lengths) / len(lengths):.0f} tokens were measured in its {len(lengths)} steps so far"
        )
        return Completions(sum(lengths) / len(lengths), longest, why)
    return Completions(SHARE * longest, longest, f"completions of {SHARE} x `max_tokens` ({longest}) are assumed")


def evaluated(folders: Sequence[Path], longest: int) -> Completions:
    """Lengths of an evaluation's answers: those of the first checkpoint that was on the suite, or the assumption."""
    for folder in folders:
        lengths = [row["tokens"] for block in blocks(folder) for row in block.rows]
        if lengths:
            mean = sum(lengths) / len(lengths)
            return Completions(mean, longest, f"answers of {mean:.0f} tokens were measured on the suite")
    return Completions(SHARE * longest, longest, f"answers of {SHARE} x `eval.max_tokens` ({longest}) are assumed")


def given(found: Outline, problems: Sequence[Problem], longest: int, *, pairs: bool = False) -> Completions:
    """Lengths of worked answers that a stage trains on; of `pairs`, both sides."""
    sides = ((one.solution, one.rejected if pairs else None) for one in problems)
    texts = [text for two in sides for text in two if text][:TRIED]
    if not texts or found.processor is None:
        return Completions(
            SHARE * longest, longest, f"worked answers of {SHARE} x `max_tokens` ({longest}) are assumed"
        )
    lengths = [len(found.policy.encode_answer(text)) for text in texts]
    mean = sum(lengths) / len(lengths)
    return Completions(
        mean, max(lengths), f"worked answers of {mean:.0f} tokens were measured on the first {len(texts)}"
    )


def rows_of(folder: Path | None, name: str) -> list[dict[str, Any]]:
    """The rows of a journal that may not be there."""
    if folder is None or not (folder / name).is_file():
        return []
    return [json.loads(line) for line in (folder / name).read_text(encoding="utf-8").splitlines() if line.endswith("}")]
