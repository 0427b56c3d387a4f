"""A problem: what is asked, with text and images in order, and what the right answer is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage


@dataclass(frozen=True)
class Text:
    """A text part of a message."""

    text: str


@dataclass(frozen=True)
class Image:
    """An image part. `key` identifies the pixels (equal keys: equal pixels); `load` opens them as RGB."""

    key: str
    load: Callable[[], PILImage] = field(compare=False, repr=False)


@dataclass(frozen=True)
class Message:
    """One turn: its role (`system`, `user`, `assistant`) and its parts in order."""

    role: str
    parts: tuple[Text | Image, ...]


@dataclass(frozen=True)
class Problem:
    """One problem with a stable id.

    `gold` is the right answer, `kind` routes rewards (for example `math`, `choice`), `solution` a worked
    answer when the data has one (what SFT on gold trains on; the better one of a preference pair), `rejected` the
    worse one of a preference pair. `cluster` is what problems share (an image, a task), for intervals that resample
    them together. `weight` is its share in the mean over a suite (a mean over tasks gives each problem one over its
    task's problems).
    """

    id: str
    messages: tuple[Message, ...]
    gold: str
    kind: str = "math"
    solution: str | None = None
    rejected: str | None = None
    cluster: str | None = None
    weight: float = 1.0
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def images(self) -> tuple[Image, ...]:
        """Every image of the prompt, in order of appearance."""
        return images_of(self.messages)


def images_of(messages: tuple[Message, ...]) -> tuple[Image, ...]:
    """The images of a sequence of messages, in order of appearance."""
    return tuple(part for message in messages for part in message.parts if isinstance(part, Image))
