"""Asks and answers as JSON, and images as PNG."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import asdict
from io import BytesIO
from typing import Any

import PIL.Image

from warmrl_vllm.asks import Ask, Drawn, Prompt, Rules

VERSION = 1


def packed_image(image: Any) -> tuple[str, str]:
    """An image's name (a digest of its pixels) and its PNG in base64."""
    stream = BytesIO()
    image.convert("RGB").save(stream, "PNG", compress_level=1)
    content = stream.getvalue()
    return hashlib.blake2b(content, digest_size=16).hexdigest(), base64.b64encode(content).decode()


def unpacked_image(text: str) -> PIL.Image.Image:
    """The image again, all of it read. Raises `ValueError` or `OSError`."""
    image = PIL.Image.open(BytesIO(base64.b64decode(text, validate=True)), formats=["PNG"])
    return image.convert("RGB")


def ask(table: dict[str, Any]) -> Ask:
    """Raises `KeyError`, `TypeError` or `ValueError` for anything else than what `asdict` made of one."""
    seeds = tuple(int(seed) for seed in table["seeds"])
    limits = int(table["max_tokens"]), float(table["temperature"]), float(table["top_p"])
    return Ask(prompt(table["prompt"]), seeds, *limits)


def prompt(table: dict[str, Any]) -> Prompt:
    """As `ask`."""
    return Prompt(ids(table["ids"]), ids(table["expanded"]), tuple(str(key) for key in table["images"]))


def rules(table: dict[str, Any]) -> Rules:
    """As `ask`."""
    return Rules(ids(table["stops"]), ids(table["banned"]))


def drawn(table: dict[str, Any]) -> Drawn:
    """As `ask`."""
    return Drawn(ids(table["tokens"]), numbers(table["logprobs"]))


def ids(values: Any) -> tuple[int, ...]:
    """Token ids."""
    return tuple(int(one) for one in values)


def numbers(values: Any) -> tuple[float, ...]:
    """Log-probabilities."""
    return tuple(float(one) for one in values)


def plain(values: list[Any]) -> list[dict[str, Any]]:
    """Dataclasses as JSON has them."""
    return [asdict(one) for one in values]
