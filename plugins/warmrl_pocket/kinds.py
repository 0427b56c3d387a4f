"""What a kind of figure is, and how an identifier alone makes one: kind, labels, pixels, question and gold answer."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from warmrl.api import Image, Message, Problem, Text, UsageError
from warmrl_pocket.render import Canvas, image

Labels = tuple[int, ...]

# Shares of a kind's label combinations. No two splits share one, whatever their seed or size. The pocket models were
# trained on figures of `train` alone.
SPLITS = {"train": 0.76, "validation": 0.12, "test": 0.12}


@dataclass(frozen=True)
class Kind:
    """One kind of figure with its question.

    `combinations` lists every set of labels that it can show, each in a canonical order. `working` are the
    equations that lead from labels to the answer, which is what stands behind the last `=`. `draw` puts a figure
    with these labels on a canvas, in reading order; `shuffled` says whether labels may appear in any order.
    """

    name: str
    question: str
    combinations: tuple[Labels, ...]
    working: Callable[[Labels], list[str]]
    draw: Callable[[Canvas, Labels], None]
    shuffled: bool = True

    @cached_property
    def splits(self) -> Mapping[str, tuple[Labels, ...]]:
        """The label combinations of each split: shares of a fixed, hash-ordered list."""
        ordered = sorted(self.combinations, key=lambda labels: _digest(f"{self.name}:{labels}"))
        ends = np.cumsum([0, *SPLITS.values()]) * len(ordered)
        return {
            split: tuple(ordered[round(start) : round(end)])
            for split, start, end in zip(SPLITS, ends[:-1], ends[1:], strict=True)
        }


@dataclass(frozen=True)
class Figure:
    """One drawn problem; everything about it follows from its id and the kinds it was drawn from."""

    id: str
    kind: Kind
    labels: Labels

    @property
    def working(self) -> list[str]:
        """Equations from the labels to the answer."""
        return self.kind.working(self.labels)

    @property
    def gold(self) -> str:
        """The right answer."""
        return answer_of(self.working)

    @property
    def combination(self) -> str:
        """The kind with its labels in canonical order: what no two splits share."""
        labels = sorted(self.labels) if self.kind.shuffled else self.labels
        return f"{self.kind.name}:{'-'.join(map(str, labels))}"

    def pixels(self) -> np.ndarray:
        """The figure's (96, 96) bytes; the same id gives the same bytes."""
        canvas = Canvas(generator(f"{self.id}#pixels"))
        self.kind.draw(canvas, self.labels)
        return canvas.pixels()

    def problem(self, solution: str) -> Problem:
        """The figure as a problem with this worked answer."""
        picture = Image(key=self.id, load=lambda: image(self.pixels()))
        return Problem(
            id=self.id,
            messages=(Message("user", (picture, Text(self.kind.question))),),
            gold=self.gold,
            kind="math",
            solution=solution,
            cluster=self.combination,
            extra={"figure": self.kind.name},
        )


def draw_figure(name: str, kinds: Sequence[Kind], split: str) -> Figure:
    """The figure that an id (`name`) stands for: a kind, one of the split's label combinations, and their order."""
    rng = generator(name)
    kind = kinds[rng.integers(len(kinds))]
    choices = kind.splits[split]
    labels = choices[rng.integers(len(choices))]
    if kind.shuffled:
        labels = tuple(labels[i] for i in rng.permutation(len(labels)))
    return Figure(name, kind, labels)


def figures(
    name: str, kinds: Mapping[str, Kind], wanted: Sequence[str], split: str, seed: int, size: int
) -> list[Figure]:
    """The first `size` figures of a split. Raises `UsageError` for a split or kind that doesn't exist."""
    if split not in SPLITS:
        raise UsageError(f"{name} has no split `{split}`; it has {', '.join(SPLITS)}")
    missing = [kind for kind in wanted if kind not in kinds]
    if missing:
        raise UsageError(f"{name} has no kind `{missing[0]}`; it has {', '.join(kinds)}")
    chosen = [kind for kind_name, kind in kinds.items() if not wanted or kind_name in wanted]
    return [draw_figure(f"{name}/{seed}/{split}/{index:05d}", chosen, split) for index in range(size)]


def answer_of(working: list[str]) -> str:
    """What stands behind the last equals sign."""
    return working[-1].rsplit("= ", 1)[1]


def generator(text: str) -> np.random.Generator:
    """Randomness that depends on a text alone."""
    return np.random.Generator(np.random.PCG64(int.from_bytes(_digest(text)[:16], "big")))


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
