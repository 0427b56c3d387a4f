"""Canned rollouts: prompts with images, completions of given lengths, rewards; the same for every contender."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist
from typing import Any

import numpy as np
from PIL import Image as PILImage

from warmrl.domain.problem import Image, Message, Problem, Text

# Spread of the logarithm of completion lengths. With it 3 % of W1's completions are cut off at the cap.
SIGMA = 0.6
# Rewards are far larger than the constants inside the standard deviation (TRL 1e-4, warmrl 1e-6): advantages agree.
REWARD = 1000.0


@dataclass(frozen=True)
class Workload:
    """Groups of completions, in tokens of the real scale.

    Args:
        name: What the table calls it.
        image: Image tokens of a prompt; 0 for text only.
        text: All other tokens of a prompt.
        mean: Mean length of a completion.
        cap: Longest completion.
        groups: Prompts.
        answers: Completions of each prompt (G).
        sigma: Spread of the logarithm of lengths; 0: all are of the mean length.
    """

    name: str
    image: int
    text: int
    mean: int
    cap: int
    groups: int = 2
    answers: int = 8
    sigma: float = SIGMA


W1 = Workload("W1", image=334, text=100, mean=400, cap=1024)
W2 = Workload("W2", image=1000, text=100, mean=300, cap=1024)
W3 = Workload("W3", image=300, text=100, mean=1000, cap=2048)
TEXT = Workload("text only", image=0, text=434, mean=400, cap=1024)
LONG = Workload("long answers", image=334, text=100, mean=3000, cap=6144, groups=1)
ALONE = Workload("G = 1", image=334, text=100, mean=400, cap=1024, groups=16, answers=1)
MIXED = Workload("mixed answers", image=334, text=100, mean=400, cap=1024, groups=16, answers=1, sigma=1.0)
PAIRS = Workload("pairs", image=334, text=100, mean=400, cap=1024, groups=8, answers=2, sigma=0.0)
FOUR = Workload("G = 4", image=334, text=100, mean=400, cap=1024, groups=4, answers=4)


@dataclass(frozen=True)
class Canned:
    """A workload at a scale.

    Args:
        workload: What it was made from.
        prompt: Tokens of a prompt, image and all.
        problems: One for each group.
        answers: Token ids by group and completion.
        rewards: The reward of each completion, by group.
    """

    workload: Workload
    prompt: int
    problems: tuple[Problem, ...]
    answers: tuple[tuple[tuple[int, ...], ...], ...]
    rewards: tuple[tuple[float, ...], ...]

    @property
    def rollouts(self) -> int:
        """How many completions there are."""
        return sum(len(group) for group in self.answers)

    @property
    def trained(self) -> int:
        """How many tokens are trained on."""
        return sum(len(answer) for group in self.answers for answer in group)

    @property
    def unique(self) -> int:
        """Tokens that a model must read: each prompt once, each completion without its last token."""
        return self.prompt * len(self.answers) + self.trained - self.rollouts

    @property
    def row(self) -> int:
        """Tokens of the largest group: the budget with which a row holds a group, as TRL's micro-batch holds 8."""
        return self.prompt + max(sum(len(answer) for answer in group) for group in self.answers)


@dataclass(frozen=True)
class Vocabulary:
    """What canned text is made of: token ids `[first, last)` are words, `end` ends a completion.

    Args:
        first: First word.
        last: One past the last word.
        end: The end-of-sequence token.
        around_image: Tokens that the template and the processor put into a prompt with an image, beside it.
        around_text: The same without an image.
        pixels: Pixels a side of the square that one image token covers.
    """

    first: int
    last: int
    end: int
    around_image: int
    around_text: int
    pixels: int


def image_side(workload: Workload, scale: float) -> int:
    """Image tokens a side: images are squares."""
    return round(math.sqrt(workload.image / scale))


def lengths(workload: Workload, scale: float, seed: int) -> list[int]:
    """Completion lengths in an order drawn from a seed: the quantiles of a lognormal, so that few stand for many."""
    count, mean, cap = workload.groups * workload.answers, workload.mean / scale, workload.cap / scale
    middle = math.log(mean) - workload.sigma**2 / 2
    points = (NormalDist().inv_cdf((i + 0.5) / count) for i in range(count))
    found = [max(2, round(min(math.exp(middle + workload.sigma * point), cap))) for point in points]
    return [found[i] for i in np.random.default_rng(seed).permutation(count)]


def canned(workload: Workload, words: Vocabulary, scale: float, seed: int = 0) -> Canned:
    """The rollouts of a workload with all lengths divided by `scale`."""
    draw = np.random.default_rng([seed, 1])
    side = image_side(workload, scale)
    prompt = round((workload.image + workload.text) / scale)
    own = prompt - side * side - (words.around_image if side else words.around_text)
    if own < 1:
        raise ValueError(f"workload `{workload.name}` leaves no room for text at scale {scale:g}")
    sizes = np.array(lengths(workload, scale, seed)).reshape(workload.groups, workload.answers).tolist()
    problems, answers, rewards = [], [], []
    for group, counts in enumerate(sizes):
        text = " ".join(f"w{i}" for i in draw.integers(words.first, words.last, own))
        parts: list[Image | Text] = [picture(side * words.pixels, seed * 1000 + group)] if side else []
        problems.append(Problem(f"{workload.name}-{group}", (Message("user", (*parts, Text(text))),), gold=""))
        answers.append(tuple(answer(int(n), words, draw) for n in counts))
        rewards.append(tuple((REWARD * draw.permutation(len(counts)) / max(1, len(counts) - 1)).tolist()))
    return Canned(workload, prompt, tuple(problems), tuple(answers), tuple(rewards))


def answer(count: int, words: Vocabulary, draw: np.random.Generator) -> tuple[int, ...]:
    """A completion of `count` tokens, the last of which ends it."""
    return (*draw.integers(words.first, words.last, count - 1).tolist(), words.end)


def picture(side: int, seed: int) -> Image:
    """A square of noise."""
    return Image(f"noise-{side}-{seed}", lambda: noise(side, seed))


@cache
def noise(side: int, seed: int) -> PILImage.Image:
    """The pixels of `picture`."""
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    return PILImage.fromarray(pixels)


def words_of(ids: Sequence[int]) -> str:
    """The text of canned tokens."""
    return " ".join(f"w{i}" for i in ids)


def conversation(problem: Problem) -> list[dict[str, Any]]:
    """A prompt as TRL's conversational datasets hold it."""
    (message,) = problem.messages
    parts = [
        {"type": "image", "image": part.load()} if isinstance(part, Image) else {"type": "text", "text": part.text}
        for part in message.parts
    ]
    return [{"role": message.role, "content": parts}]


def describe(rollouts: Canned) -> str:
    """Rollouts in words."""
    longest = max(len(answer) for group in rollouts.answers for answer in group)
    mean = rollouts.trained / rollouts.rollouts
    groups = len(rollouts.answers)
    return (
        f"{groups} prompts x {rollouts.rollouts // groups}, P {rollouts.prompt}, C mean {mean:.0f}, longest {longest}"
    )
