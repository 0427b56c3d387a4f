"""Batches of pretraining: labelled cells, packed text, and figures with traces, each a pure function of its draws."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from warmrl_pocket.build import END, IMAGE_TOKENS
from warmrl_pocket.charts import KINDS as CHARTS
from warmrl_pocket.geometry import KINDS as GEOMETRY
from warmrl_pocket.kinds import Figure, Kind, Labels, draw_figure
from warmrl_pocket.render import GRID, SIDE, Canvas
from warmrl_pocket.traces import Writer

CELLS = GRID * GRID
TEXT_LENGTH = 96  # tokens of a packed text row
BLANK = 10  # class of a missing digit, and of both digits of an empty cell
UNKNOWN = 11  # class of the mark `?`
CLASSES = 12
FILLED = 0.75  # share of cells with a label: whole figures are mostly empty cells, which would swamp the digits
SENTENCES = 0.3  # share of text rows with sentences; the others have equations, three times as many
MARKED = 0.3  # share of images to read with a `?` that is no number
CLUTTER = 0.3  # share of images of loose labels that lines cross, as figures have them


@dataclass(frozen=True)
class Batch:
    """Token rows with the positions to predict.

    `tokens` and `train` are (B, T); `train` marks tokens that are predicted. `pixels` is (B, 1, 3, 96, 96), or None
    for text.
    """

    tokens: torch.Tensor
    train: torch.Tensor
    pixels: torch.Tensor | None


def glyph_batch(rng: np.random.Generator, rows: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Images of labels in random cells: pixels (B, 1, 3, 96, 96) and the digits of each cell, (B, 16, 2).

    The last axis is (first character, last character): `7` is (blank, 7), an empty cell (blank, blank).
    """
    pixels, digits = [], np.full((rows, CELLS, 2), BLANK)
    for row in range(rows):
        labels = {cell: _label(rng) for cell in range(CELLS) if rng.random() < FILLED}
        pixels.append(_scatter(rng, labels))
        for cell, text in labels.items():
            digits[row, cell] = [_class(text[:-1]), _class(text[-1])]
    return normalise(np.stack(pixels)), torch.from_numpy(digits)


def reading_batch(rng: np.random.Generator, rows: int, tokenizer: PreTrainedTokenizerBase) -> Batch:
    """Images of one to three numbers in random cells, to be written down in reading order: `read 7 and 12`.

    They show numbers, stray lines and here and there a `?`, but no figure.
    """
    pixels, answers = [], []
    for _ in range(rows):
        cells = rng.permutation(CELLS)[: rng.integers(2, 5)].tolist()
        numbers = {cell: str(_number(rng)) for cell in sorted(cells[1:])}
        mark = {cells[0]: "?"} if rng.random() < MARKED else {}
        pixels.append(_scatter(rng, numbers | mark))
        answers.append("read " + " and ".join(numbers.values()))
    return _answer_batch(np.stack(pixels), ["read ?"] * rows, answers, tokenizer)


def text_batch(rng: np.random.Generator, rows: int, tokenizer: PreTrainedTokenizerBase) -> Batch:
    """Packed rows of equations (`7 * 5 = 35`) and of sentences (`area of rectangle 7 and 5 ? 7 * 5 = 35`).

    They use every combination of labels, as a language model knows its tables; what the splits keep apart are
    figures. The words of charts occur here and in no picture. Only answers are predicted.
    """
    kinds = [*GEOMETRY.values(), *CHARTS.values()]
    tokens, train = [], []
    for _ in range(rows):
        row: list[int] = []
        answers: list[bool] = []
        sentences = rng.random() < SENTENCES
        known = kinds if sentences else [kind for kind in kinds if kind.name != "max"]  # which is no equation
        while len(row) < TEXT_LENGTH:
            kind = known[rng.integers(len(known))]
            labels = kind.combinations[rng.integers(len(kind.combinations))]
            if kind.shuffled:
                labels = tuple(labels[i] for i in rng.permutation(len(labels)))
            question, answer = _sentence(kind, labels) if sentences else _equation(kind, labels, rng)
            given, wanted = encode(tokenizer, question), encode(tokenizer, f"{answer} {END}")
            row += given + wanted
            answers += [False] * len(given) + [True] * len(wanted)
        tokens.append(row[:TEXT_LENGTH])
        train.append(answers[:TEXT_LENGTH])
    return Batch(torch.tensor(tokens), torch.tensor(train), None)


def _sentence(kind: Kind, labels: Labels) -> tuple[str, str]:
    return f"{kind.question[:-1]}{' and '.join(map(str, labels))} ?", " . ".join(kind.working(labels))


def _equation(kind: Kind, labels: Labels, rng: np.random.Generator) -> tuple[str, str]:
    working = kind.working(labels)
    left, equals, right = working[rng.integers(len(working))].partition("= ")
    return f"{left}{equals}", right


def figure_batch(rng: np.random.Generator, rows: int, tokenizer: PreTrainedTokenizerBase, write: Writer) -> Batch:
    """Figures of the split `train` with their prompts and traces; only the traces are predicted."""
    kinds = list(GEOMETRY.values())
    drawn = [draw_figure(f"pocket_pretrain/{rng.integers(2**62)}", kinds, "train") for _ in range(rows)]
    return trace_batch(drawn, [write(figure, rng) for figure in drawn], tokenizer)


def trace_batch(drawn: list[Figure], traces: list[str], tokenizer: PreTrainedTokenizerBase) -> Batch:
    """Figures with the given completions."""
    pixels = np.stack([figure.pixels() for figure in drawn])
    return _answer_batch(pixels, [figure.kind.question for figure in drawn], traces, tokenizer)


def _answer_batch(
    pixels: np.ndarray, questions: list[str], answers: list[str], tokenizer: PreTrainedTokenizerBase
) -> Batch:
    """Prompts with one image each and their answers, padded at the right; only the answers are predicted."""
    prompts = [encode(tokenizer, prompt_text(question)) for question in questions]
    completions = [encode(tokenizer, f"{answer} {END}") for answer in answers]
    length = max(len(p) + len(c) for p, c in zip(prompts, completions, strict=True))
    tokens = torch.full((len(prompts), length), tokenizer.pad_token_id)
    train = torch.zeros_like(tokens, dtype=torch.bool)
    for row, (prompt, completion) in enumerate(zip(prompts, completions, strict=True)):
        end = len(prompt) + len(completion)
        tokens[row, :end] = torch.tensor(prompt + completion)
        train[row, len(prompt) : end] = True
    return Batch(tokens, train, normalise(pixels))


def prompt_text(question: str) -> str:
    """The prompt as the processor writes it, its image tokens in place."""
    image = "<fake_token_around_image><global-img>" + "<image>" * IMAGE_TOKENS + "<fake_token_around_image>"
    return f"<user>{image}{question}<assistant>"


def normalise(pixels: np.ndarray) -> torch.Tensor:
    """Bytes (B, 96, 96) to what the image processor makes of them, (B, 1, 3, 96, 96) in [-1, 1]."""
    values = torch.from_numpy(pixels).float() / 127.5 - 1
    return values[:, None, None].expand(-1, 1, 3, -1, -1)


def encode(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Token ids of a text."""
    return tokenizer.encode(text, add_special_tokens=False)


def _scatter(rng: np.random.Generator, labels: dict[int, str]) -> np.ndarray:
    """Labels in cells, numbered in reading order, on an image that stray lines may cross: (96, 96) bytes."""
    canvas = Canvas(rng)
    if rng.random() < CLUTTER:
        for _ in range(4):
            start, end = rng.uniform(2, SIDE - 2, size=(2, 2)).tolist()
            canvas.line(tuple(start), tuple(end), float(rng.uniform(0.3, 0.6)))
    for cell, text in labels.items():
        canvas.label(divmod(cell, GRID), text)
    return canvas.pixels()


def _number(rng: np.random.Generator) -> int:
    return int(rng.integers(1, 10) if rng.random() < 0.4 else rng.integers(10, 100))


def _label(rng: np.random.Generator) -> str:
    return "?" if rng.random() < 0.1 else str(_number(rng))


def _class(character: str) -> int:
    return BLANK if not character else UNKNOWN if character == "?" else int(character)
