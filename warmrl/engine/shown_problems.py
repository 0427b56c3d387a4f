"""Problems as the sample browser shows them: the prompt's parts in order, its images small and in the file."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from io import BytesIO
from typing import Any

from warmrl.domain.errors import WarmrlError
from warmrl.domain.problem import Image, Problem, Text

SIDE = 512
"""The longest side of an image that is shown, in pixels."""
DRAWN = 24_000
"""Bytes below which an image stays PNG, sharp to the pixel; a photograph is larger and becomes WebP."""
OPENING = 160
"""Letters of a question that the index holds, to be searched."""


def data_uri(image: Image) -> str | None:
    """An image as a `data:` address, no side longer than `SIDE`; None where it cannot be opened."""
    try:
        picture = image.load().convert("RGB")
        picture.thumbnail((SIDE, SIDE))
    except (OSError, ValueError, WarmrlError):
        return None
    held = BytesIO()
    picture.save(held, "PNG", optimize=False)
    kind, content = "png", held.getvalue()
    if len(content) > DRAWN:
        held = BytesIO()
        picture.save(held, "WEBP", quality=80)
        if len(held.getvalue()) < len(content):
            kind, content = "webp", held.getvalue()
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def shown(problem: Problem | None, places: Mapping[str, int]) -> list[list[Any]]:
    """The prompt: a role and its parts for each turn. A part is text, or the place of an image, -1 for none."""
    turns = () if problem is None else problem.messages
    return [
        [turn.role, [part.text if isinstance(part, Text) else places.get(part.key, -1) for part in turn.parts]]
        for turn in turns
    ]


def opening(problem: Problem | None) -> str:
    """How the question begins, on one line."""
    turns = () if problem is None else problem.messages
    texts = (part.text for turn in turns if turn.role == "user" for part in turn.parts if isinstance(part, Text))
    return " ".join(" ".join(texts).split())[:OPENING]
