"""Log-probabilities of exact tokens from a vLLM server, behind prompts with images, and their form on the disk."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np

from warmrl.api import Image, Message, ServiceError, UsageError
from warmrl.engine.api import Policy
from warmrl_teachers.chat import data_url
from warmrl_teachers.client import Client, Refused

# vLLM's tokens in, tokens out (`vllm serve --enable-scale-out`), and its tokenizer.
GENERATE, TOKENIZE = "/inference/v1/generate", "/tokenize"
# How far above 0 rounding may put a log-probability.
ROUNDING = 1e-3


@dataclass(frozen=True)
class Asked:
    """A prompt to be scored behind: its tokens as the model reads them, and as they are sent.

    vLLM expands images itself; image tokens that are expanded already it would expand twice. So each image is sent as
    the one placeholder of the chat template, and what the server made of it is compared with `ids`.
    """

    ids: tuple[int, ...]
    sent: tuple[int, ...]
    images: tuple[Image, ...]

    @cached_property
    def parts(self) -> list[dict[str, str]]:
        """The images, encoded once for all completions."""
        return [{"type": "image_url", "url": data_url(image)} for image in self.images]


@dataclass(frozen=True)
class Scored:
    """What a teacher says of C tokens: of the tokens themselves `[C]`, its k most probable `[C, k]` (-1: fewer)."""

    sampled: np.ndarray
    ids: np.ndarray
    top: np.ndarray

    def packed(self) -> dict[str, Any]:
        """JSON values: little-endian int32 and float32 in base64."""
        return {
            "count": len(self.sampled),
            **{name: base64.b64encode(getattr(self, name).tobytes()).decode() for name in ("sampled", "ids", "top")},
        }

    @classmethod
    def unpacked(cls, value: dict[str, Any]) -> Scored:
        """Take back what `packed` gave."""
        held = {name: base64.b64decode(value[name]) for name in ("sampled", "ids", "top")}
        ids = np.frombuffer(held["ids"], "<i4").reshape(value["count"], -1)
        top = np.frombuffer(held["top"], "<f4").reshape(value["count"], -1)
        return cls(np.frombuffer(held["sampled"], "<f4"), ids, top)


def prompt_of(policy: Policy, messages: Sequence[Message]) -> Asked:
    """A prompt in the student's tokens."""
    images = tuple(part for message in messages for part in message.parts if isinstance(part, Image))
    ids = tuple(policy.encode_prompt(messages).ids.tolist())
    if not images:
        return Asked(ids, ids, ())
    return Asked(ids, tuple(policy.unexpanded(messages)), images)


def ask_vllm(client: Client, asked: Asked, tokens: Sequence[int], top_k: int, vocabulary: int) -> Scored:
    """Score `tokens` behind a prompt over HTTP: the one request that knows vLLM's protocol.

    Raises `UsageError` where the server reads other tokens than were meant, `ServiceError` where it gives no scores.
    """
    body = {
        "model": client.config.model,
        "token_ids": [*asked.sent, *tokens],
        "content_parts": asked.parts or None,
        "sampling_params": {"prompt_logprobs": top_k, "max_tokens": 1, "temperature": 0.0, "detokenize": False},
        "return_token_ids": True,
    }
    read = partial(read_scores, asked=asked, tokens=tokens, top_k=top_k, vocabulary=vocabulary)
    try:
        return client.ask(GENERATE, body, read, root=True)
    except Refused as refused:
        if refused.status in (404, 405):
            raise UsageError(
                f"{refused} Scoring needs vLLM 0.30 or newer, started with `--enable-scale-out`; with an endpoint that "
                'only writes answers (`kind = "openai"`), distil from its text (curator `traces`, then `sft`).'
            ) from None
        raise


def read_scores(reply: Any, asked: Asked, tokens: Sequence[int], top_k: int, vocabulary: int) -> Scored:
    """The scores in vLLM's reply, once it says that it read these very tokens."""
    served, rows = reply["prompt_token_ids"], reply["prompt_logprobs"]
    if served is None or rows is None:
        missing = "which tokens it read" if served is None else "no log-probabilities"
        raise ServiceError(f"The teacher's server gave {missing}; scoring needs vLLM 0.30 or newer itself, no proxy.")
    meant = [*asked.ids, *tokens]
    if served != meant:
        raise UsageError(other_tokens(served, meant, len(asked.images)))
    if len(rows) != len(meant):
        raise ServiceError(f"The teacher's server scored {len(rows)} tokens of {len(meant)}.")
    sampled, ids, top = [], [], []
    for token, row in zip(tokens, rows[len(asked.ids) :], strict=True):
        if str(token) not in row or len(row) < top_k:
            raise ServiceError(f"The teacher's server gave {len(row)} log-probabilities for a token and not {top_k}.")
        logs = {int(name): checked(one["logprob"]) for name, one in row.items()}
        best = sorted(logs, key=lambda one: (-logs[one], one))[:top_k]
        known = [one for one in best if one < vocabulary]  # a padded head has rows that the student lacks
        sampled.append(logs[token])
        ids.append(known + [-1] * (top_k - len(known)))
        top.append([logs[one] for one in known] + [0.0] * (top_k - len(known)))
    shape = len(sampled), top_k
    return Scored(np.array(sampled, "<f4"), np.array(ids, "<i4").reshape(shape), np.array(top, "<f4").reshape(shape))


def checked(logprob: float) -> float:
    """A log-probability. Raises `ValueError` for what is none."""
    if not logprob <= ROUNDING:
        raise ValueError(f"{logprob} is no log-probability")
    return float(logprob)


def other_tokens(served: Sequence[int], meant: Sequence[int], images: int) -> str:
    """Where the tokens that the server read part from those that were meant."""
    pairs = zip(served, meant, strict=False)
    place = next((at for at, (one, other) in enumerate(pairs) if one != other), min(len(served), len(meant)))
    why = (
        "it sees the images at another size or expands them by another template; give vLLM the student's limits "
        "(`--mm-processor-kwargs`, `model.min_pixels`, `model.max_pixels`)"
        if images
        else "it changes token ids that it is sent"
    )
    return (
        f"The teacher's server read {len(served)} tokens where the student has {len(meant)}, and they part at token "
        f"{place}: {why}. Scores of other tokens would be of no use."
    )
