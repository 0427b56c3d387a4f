"""Problem sets with planted overlaps: drawings, photographs and pocket figures, copied, re-encoded and resized."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image as PILImage
from PIL import ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter

from warmrl.domain.problem import Image, Message, Problem, Text

WORDS = [
    "car",
    "tree",
    "boat",
    "lamp",
    "door",
    "hill",
    "fish",
    "road",
    "king",
    "star",
    "moon",
    "bird",
    "ship",
    "wall",
    "ring",
    "gate",
]


def photo(seed: int) -> PILImage.Image:
    """Smooth noise in colour."""
    rng = np.random.default_rng([1, seed])
    noise = gaussian_filter(rng.standard_normal((90, 120, 3)), (4, 4, 0))
    return PILImage.fromarray(np.clip(noise * 900 + 128, 0, 255).astype(np.uint8)).resize((240, 180))


def drawing(seed: int, number: int | None = None, shape: int | None = None) -> PILImage.Image:
    """A triangle in thin lines with its corners named and a length; `shape` fixes where the corners are."""
    rng = np.random.default_rng([2, seed if shape is None else shape])
    picture = PILImage.new("RGB", (300, 240), "white")
    draw = ImageDraw.Draw(picture)
    corners = [(rng.integers(30, 90), rng.integers(170, 220)), (rng.integers(200, 270), rng.integers(170, 220))]
    corners.append((int(rng.integers(60, 240)), int(rng.integers(20, 70))))
    corners = [(int(x), int(y)) for x, y in corners]
    draw.polygon(corners, outline="black")
    font = ImageFont.load_default(14)
    for name, (x, y) in zip("ABC", corners, strict=True):
        draw.text((x - 5, y), name, fill="black", font=font)
    middle = [(corners[0][i] + corners[2][i]) // 2 for i in (0, 1)]
    draw.text((middle[0] - 30, middle[1]), str(number or 10 + seed % 90), fill="black", font=font)
    return picture


def question(seed: int) -> str:
    """A question that no other seed asks."""
    rng = np.random.default_rng([3, seed])
    return f"How many {' and '.join(rng.choice(WORDS, 4))} of row {seed} are in the picture?"


def problem(name: str, text: str, picture: PILImage.Image | None, key: str | None = None) -> Problem:
    """A problem of one picture and one text."""
    parts = (Text(text),) if picture is None else (Image(key or name, lambda: picture), Text(text))
    return Problem(name, (Message("user", parts),), "1")


def encoded(picture: PILImage.Image, quality: int) -> PILImage.Image:
    """The picture after JPEG."""
    data = io.BytesIO()
    picture.save(data, "JPEG", quality=quality)
    return PILImage.open(data).convert("RGB")


def resized(picture: PILImage.Image, scale: float) -> PILImage.Image:
    """The picture at another size."""
    return picture.resize((round(picture.width * scale), round(picture.height * scale)))


def planted(suite: list[Problem], seed: int = 0) -> dict[str, Problem]:
    """Twenty copies of problems of a suite: ten plain ones of three kinds, five re-encoded, five resized."""
    chosen = [suite[i] for i in np.random.default_rng(seed).permutation(len(suite))[:20]]
    out: dict[str, Problem] = {}
    for place, one in enumerate(chosen):
        picture, key, text = one.images[0].load(), one.images[0].key, one.messages[0].parts[1].text
        other = f"Another question, of number {place}?"
        name = f"planted:{place}"
        if place < 4:
            copy = problem(name, text.upper() + "  ", photo(10_000_000 + place))
        elif place < 7:
            copy = problem(name, other, picture, key)
        elif place < 10:
            copy = problem(name, text, picture, key)
        elif place < 15:
            copy = problem(name, other, encoded(picture, (30, 45, 60, 75, 90)[place - 10]))
        else:
            copy = problem(name, other, resized(picture, (0.5, 0.7, 0.85, 1.4, 2.0)[place - 15]))
        out[one.id] = copy
    return out
