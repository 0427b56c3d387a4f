"""The sampler kind: prompts in, groups of completions with token ids out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Generic, TypeVar

from pydantic import Field

from warmrl.domain.config import Config
from warmrl.domain.group import Completion
from warmrl.domain.problem import Message
from warmrl.domain.stages import NOT_SEMANTIC


class SamplerConfig(Config):
    """Settings of any sampler."""

    gathers: ClassVar[bool] = False
    """Whether it computes with the policy's own weights, so that those in shards are whole meanwhile."""

    block_size: Annotated[int, Field(ge=1)] = 32
    """Prompts sampled together: the atomic unit of redoing, so it is part of what identifies a result."""
    max_gap: Annotated[float | None, Field(gt=0, json_schema_extra=NOT_SEMANTIC)] = None
    """For a sampler with weights of its own: the mean difference (nats) between its log-probabilities and the policy's
    at which a stage stops. Unset: 0.001 in float32, 0.05 in bfloat16."""

    def takes(
        self, shapes: Any, *, device: int, width: int, completions: int, per_prompt: int, prompt: int, longest: int
    ) -> int:
        """Bytes beside the policy's weights while sampling, for the plan of memory; 0: not known.

        Args:
            shapes: The model's numbers (`warmrl.packed.shapes.Shapes`).
            device: Bytes of the device, or of a process's share of the host's memory.
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
    """Samples completions from a policy. A run has one, which goes from policy to policy.

    The engine calls `sync(policy)`, then `sample` any number of times, then `rest`; `close` at the end. `sync` and
    `rest` are called in all processes together, `sample` in each for blocks of its own. May leave `entropies` None:
    a pass of the policy fills them where they are needed. Raises `ServiceError` when what it depends on is late or
    dead: no call may take for ever.
    """

    shares_weights: ClassVar[bool] = False
    """Whether it computes with the policy's own model. If not, its log-probabilities are compared to the policy's."""

    def __init__(self, config: C, processes: Any) -> None:
        self.config = config
        self.processes = processes

    @abstractmethod
    def sync(self, policy: Any) -> None:
        """Sample from this policy (an engine `Policy`), with its weights as they are now."""

    @abstractmethod
    def sample(self, requests: Sequence[Request]) -> list[list[Completion]]:
        """Completions of one block, per request in order; each list as long as the request's `seeds`."""

    def rest(self) -> None:
        """Give memory back: nothing is sampled before the next `sync`."""

    def close(self) -> None:
        """Release servers and memory for good."""
