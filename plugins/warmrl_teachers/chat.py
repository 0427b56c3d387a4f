"""Messages as OpenAI's chat completions take them, and what comes back."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from typing import Any

from warmrl.api import Image, Message, Problem, ServiceError, Text
from warmrl.engine.api import writable


def chat_of(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Roles and parts in order; an image as a PNG in a data URL; text alone as a plain string."""
    chat = []
    for message in messages:
        if all(isinstance(part, Text) for part in message.parts):
            content: Any = "".join(part.text for part in message.parts if isinstance(part, Text))
        else:
            content = [part_of(part) for part in message.parts]
        chat.append({"role": message.role, "content": content})
    return chat


def part_of(part: Text | Image) -> dict[str, Any]:
    """One part of a message."""
    if isinstance(part, Text):
        return {"type": "text", "text": part.text}
    return {"type": "image_url", "image_url": {"url": data_url(part)}}


def data_url(image: Image) -> str:
    """An image's pixels, without loss, as a URL."""
    held = io.BytesIO()
    image.load().convert("RGB").save(held, "PNG")
    return f"data:image/png;base64,{base64.b64encode(held.getvalue()).decode()}"


def answered(problem: Problem, answer: str) -> tuple[Message, ...]:
    """A problem's messages and an answer to them, as a reward model reads them."""
    return (*problem.messages, Message("assistant", (Text(answer),)))


def read_answer(reply: Any, reasoning: bool = False) -> dict[str, Any]:
    """Text, finish reason and tokens of a chat completion's one choice. Raises `ServiceError` for another number.

    With `reasoning`, what the server sends apart as such comes first, in `<think>` tags. `usage` is (tokens of the
    prompt, of the completion), where the server says so.
    """
    choices = reply["choices"]
    if len(choices) != 1:
        raise ServiceError(f"The teacher's server gave {len(choices)} choices, and one was asked for; is it a proxy?")
    (choice,) = choices
    message, finish = choice["message"], choice["finish_reason"]
    text = message.get("content")
    if text is None and finish != "stop":
        text = ""  # cut off, or refused, before it said anything
    if not isinstance(text, str) or not isinstance(finish, str):
        raise TypeError("a choice without text or finish reason")
    thought = message.get("reasoning_content") or message.get("reasoning")
    if reasoning and isinstance(thought, str):
        text = f"<think>{thought}</think>{text}"
    ended = "stop" if finish == "stop" else "length"
    return {"text": writable(text), "finish": ended, **tokens_of(reply.get("usage"))}


def tokens_of(usage: Any) -> dict[str, list[int]]:
    """What a reply says that it took, if it does."""
    if not isinstance(usage, dict):
        return {}
    found = [usage.get("prompt_tokens"), usage.get("completion_tokens")]
    known = [one for one in found if isinstance(one, int)]
    return {"usage": known} if len(known) == len(found) else {}


def read_rate(reply: Any) -> float:
    """The one number of a pooling reply. Raises `ServiceError` when the model has several labels."""
    (one,) = reply["data"]
    numbers = one["data"]
    if isinstance(numbers, list) and len(numbers) > 1:
        raise ServiceError(
            f"The teacher's server gave {len(numbers)} numbers for an answer; a reward model has one label, and this "
            "model has more, or gives a number for each token."
        )
    (rate,) = numbers
    if not isinstance(rate, float | int) or isinstance(rate, bool) or not math.isfinite(rate):
        raise ValueError(f"a rate of {rate!r:.40}")
    return float(rate)
