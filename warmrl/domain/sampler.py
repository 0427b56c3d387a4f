"""The sampler kind: prompts in, groups of completions with token ids out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar

from pydantic import Field

from warmrl.domain.config import Config
from warmrl.domain.group import Completion
from warmrl.domain.problem import Message


class SamplerConfig(Config):
    """Settings of any sampler."""

    block_size: Annotated[int, Field(ge=1)] = 32
    """Prompts sampled together: the atomic unit of redoing, so it is part of what identifies a result."""

    def memory(self, shapes: Any, *, width: int, completions: int, per_prompt: int, prompt: int, longest: int) -> int:
        """Bytes beside the policy's weights while sampling, for the plan of memory; 0: not known.

        Args:
            shapes: The model's numbers (`warmrl.packed.shapes.Shapes`).
            width: Bytes of a key's or a value's number.
            completions: Completions of a block.
            per_prompt: How many of them share a prompt.
            prompt: Tokens of a prompt.
            longest: Most tokens of a completion.
        """
        return 0


@dataclass(frozen=True)
class Request:
    """One prompt and how many completions of it are wanted.

    `seeds` has one 64-bit seed per completion: the draws of a completion depend on its own seed alone, never on
    what else is in the batch. `temperature` 0 is greedy decoding.
    """

    messages: tuple[Message, ...]
    seeds: tuple[int, ...]
    max_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0


C = TypeVar("C", bound=SamplerConfig)


class Sampler(ABC, Generic[C]):
    """Samples completions from the current weights of a policy. May leave `entropies` None (a pass fills them)."""

    def __init__(self, config: C, policy: Any) -> None:
        self.config = config
        self.policy = policy

    @abstractmethod
    def sample(self, requests: Sequence[Request]) -> list[list[Completion]]:
        """Completions of one block, per request in order; each list as long as the request's `seeds`."""

    def sync(self) -> None:
        """Take over the policy's weights as they are now (nothing to do when they are shared)."""

    def close(self) -> None:
        """Release servers and memory."""
