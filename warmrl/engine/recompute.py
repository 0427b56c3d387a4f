"""Gradient checkpointing only for rows whose activations would not fit: by the plan's estimate and what is free."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Literal

import psutil
import torch

from warmrl.engine.launch import local_processes
from warmrl.engine.policy import Policy
from warmrl.engine.processes import Processes
from warmrl.engine.sharding import here, is_sharded
from warmrl.packed.memory import activation_bytes, recompute
from warmrl.packed.plan import Row
from warmrl.packed.shapes import Shapes, shapes_of

# The share of free memory that activations may take: the estimate is rough, and allocators leave gaps.
SHARE = 0.75
# Bytes that a trainable parameter still needs before its first update: gradient and AdamW's two moments, in float32.
FIRST_UPDATE = 12


class Recompute:
    """Decides row by row, and counts.

    Args:
        policy: What trains.
        setting: `auto` decides by memory; `on` and `off` don't ask.
        processes: Those that take the decision together: where weights are in shards, computing a layer again may
            gather them, and then all must.
    """

    def __init__(
        self, policy: Policy, setting: Literal["auto", "on", "off"], processes: Processes | None = None
    ) -> None:
        self.policy, self.setting, self.processes = policy, setting, processes
        self.rows = 0

    @cached_property
    def shapes(self) -> Shapes:
        """The policy's numbers, which no update changes."""
        return shapes_of(self.policy.packed)

    def taken(self) -> int:
        """How many rows were recomputed since this was last asked."""
        rows, self.rows = self.rows, 0
        return rows

    def prepare(self, row: Row, optimizer: Any) -> None:
        """Switch gradient checkpointing on for a row that needs it, and off for one that doesn't."""
        needed = self.setting == "on"
        if self.setting == "auto":
            needed = not self.fits(row, optimizer)
            if self.processes is not None and is_sharded(self.policy.packed):
                needed = any(self.processes.gather([needed]))
        recompute(self.policy.model, needed)
        self.rows += needed

    def fits(self, row: Row, optimizer: Any) -> bool:
        """Whether a row's activations fit beside what training will allocate."""
        free = free_bytes(self.policy.device)
        trained = sum(here(p).numel() for p in self.policy.model.parameters() if p.requires_grad)
        if not optimizer.state:
            free -= FIRST_UPDATE * trained
        if torch.is_autocast_enabled(self.policy.device.type):  # it keeps low-precision copies of the weights
            free -= torch.get_autocast_dtype(self.policy.device.type).itemsize * trained
        return activation_bytes(self.policy.packed, self.shapes, row) <= SHARE * free


def free_bytes(device: torch.device) -> int:
    """Memory that can still be had on a device: a GPU's, cached blocks included, or a share of the machine's."""
    if device.type != "cuda":
        return psutil.virtual_memory().available // local_processes()
    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
