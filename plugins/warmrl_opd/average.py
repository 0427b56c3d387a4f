"""A moving average of what trains: a <- d a + (1 - d) p after each step (exponential, begun at the start)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from warmrl.engine.api import Policy


class Average:
    """One copy of the weights that train (of adapters with LoRA, each process's shards where they are in shards).

    Args:
        policy: Whose weights; the average begins with them as they are.
        decay: d above.
        state: What `state` gave, to go on from.
    """

    def __init__(self, policy: Policy, decay: float, state: Mapping[str, Any] | None = None) -> None:
        self.policy, self.decay = policy, decay
        self.held = self.copied()
        if state:
            student = policy.snapshot()
            policy.restore({name.removeprefix("average."): value for name, value in state.items()})
            self.held = self.copied()
            policy.restore(student)

    def trained(self) -> dict[str, Tensor]:
        """The student's weights that train, tied ones once."""
        return {name: one.detach() for name, one in self.policy.model.named_parameters() if one.requires_grad}

    def copied(self) -> dict[str, Tensor]:
        """The same as they are now."""
        return {name: one.clone() for name, one in self.trained().items()}

    @torch.no_grad()
    def follow(self) -> None:
        """Take a step towards the student."""
        for name, one in self.trained().items():
            self.held[name].mul_(self.decay).add_(one, alpha=1 - self.decay)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The average in the student's place meanwhile; no third copy of more than one weight is made."""
        self.exchange()
        try:
            yield
        finally:
            self.exchange()

    @torch.no_grad()
    def exchange(self) -> None:
        """Swap the numbers of student and average."""
        for name, one in self.trained().items():
            student = one.clone()
            one.copy_(self.held[name])
            self.held[name].copy_(student)

    def state(self) -> dict[str, Tensor]:
        """The average as a checkpoint keeps it: by all processes together, whole."""
        with self.in_place():
            return {f"average.{name}": value for name, value in self.policy.snapshot().items()}
