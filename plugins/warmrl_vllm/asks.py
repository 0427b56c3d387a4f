"""What an engine is asked and what it answers, in this process or over HTTP: plain numbers alone."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from warmrl.api import ServiceError


@dataclass(frozen=True)
class Prompt:
    """A prompt in token ids.

    `ids` has one token for each image, as the chat template writes it; the engine puts in as many as the image takes.
    `expanded` is what must come of that: the trainer's own ids. `images` are keys, in order.
    """

    ids: tuple[int, ...]
    expanded: tuple[int, ...]
    images: tuple[str, ...] = ()

    def expect(self, found: Sequence[int] | None) -> None:
        """Raises `ServiceError` when the engine made other ids of the prompt than the trainer."""
        if tuple(found or ()) != self.expanded:
            raise ServiceError(
                f"vLLM makes {len(found or ())} tokens of a prompt with {len(self.images)} images and transformers "
                f"{len(self.expanded)}, or others: its log-probabilities would be of another text. "
                "The sampler `transformers` takes this model."
            )


@dataclass(frozen=True)
class Ask:
    """A prompt and how it is completed: one completion per seed; `temperature` 0 is greedy."""

    prompt: Prompt
    seeds: tuple[int, ...]
    max_tokens: int
    temperature: float
    top_p: float


@dataclass(frozen=True)
class Rules:
    """What holds for every completion: tokens that end one, and tokens that are never sampled."""

    stops: tuple[int, ...]
    banned: tuple[int, ...]


@dataclass(frozen=True)
class Drawn:
    """One completion: C tokens, the stop token included, and the log-probability of each at temperature 1."""

    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]

    def expect_none_of(self, banned: Collection[int]) -> None:
        """Raises `ServiceError` when a token that stands for an image was sampled."""
        if found := set(self.tokens) & set(banned):
            raise ServiceError(f"vLLM sampled the tokens {sorted(found)}, which stand for images and were banned.")
