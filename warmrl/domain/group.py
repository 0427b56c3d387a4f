"""A group: one problem, one or more views of its prompt, and its completions. Every method works on groups."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from warmrl.domain.problem import Message, Problem

Origin = Literal["policy", "teacher", "dataset"]
Finish = Literal["stop", "length", "given"]


@dataclass
class Completion:
    """C tokens that follow a prompt, where they came from, and what is known of each of them.

    `tokens` includes the end-of-sequence token when the completion finished. `logprobs` are natural
    log-probabilities of the sampled tokens at temperature 1 under the policy that sampled them, `entropies` the
    exact entropy (nats) of each distribution sampled from, at temperature 1; both None when the sampler can't say.
    `train` masks tokens that are trained on (None: all). `signals` are the columns a loss reads: a number for the
    whole completion, or a sequence or tensor with one entry per token.
    """

    tokens: tuple[int, ...]
    text: str
    origin: Origin = "policy"
    finish: Finish = "stop"
    view: int = 0
    train: tuple[bool, ...] | None = None
    logprobs: tuple[float, ...] | None = None
    entropies: tuple[float, ...] | None = None
    rewards: dict[str, float] = field(default_factory=dict)
    reward: float = 0.0
    signals: dict[str, Any] = field(default_factory=dict)

    @property
    def trained_tokens(self) -> int:
        """How many tokens the loss is taken over."""
        return len(self.tokens) if self.train is None else sum(self.train)


@dataclass
class Group:
    """One problem with its completions. `views` are prompts; most methods have the problem's own alone."""

    problem: Problem
    completions: list[Completion]
    views: tuple[tuple[Message, ...], ...] = ()

    def __post_init__(self) -> None:
        if not self.views:
            self.views = (self.problem.messages,)
