"""What is compared: each does a whole update on canned rollouts, from raw prompts to gradients."""

from __future__ import annotations

from typing import Any, Protocol

from bench.workloads import Canned

PACKED, PADDING_FREE = "warmrl", "padding-free stand-in"
# Samples in a micro-batch: TRL's default (`per_device_train_batch_size`).
MICRO_BATCH = 8
MATCHED, DEFAULTS = "TRL, matched", "TRL, defaults"


class Contender(Protocol):
    """One way of doing an update. After `update` the gradients are in its model.

    Args:
        name: As the table prints it.
        model: The model it trains; its weights are those of every other contender.
        decoder: The part of it whose tokens are counted.
        rollouts: What it trains on.
        about: What was set, for the table's notes.
        checkpointing: Whether activations are computed again in the backward pass.
    """

    name: str
    model: Any
    decoder: Any
    rollouts: Canned
    about: str
    checkpointing: bool

    def update(self) -> float:
        """A whole update: its loss."""
