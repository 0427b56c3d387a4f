"""The processes of a run, through accelerate: device, precision, who is first, and what they tell one another."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from typing import Any, TypeVar

import torch
from accelerate import Accelerator
from accelerate.utils import (
    DistributedDataParallelKwargs,
    InitProcessGroupKwargs,
    broadcast_object_list,
    gather_object,
)
from torch import nn
from torch.distributed.fsdp import FSDPModule

from warmrl.domain.errors import Interrupted, WarmrlError
from warmrl.domain.recipe import LaunchTable
from warmrl.engine.launch import EXPECTED, local_processes
from warmrl.engine.sharding import shard
from warmrl.packed.policy import PackedPolicy

T = TypeVar("T")
# A model below this size is slower on several threads than on one (stack.md: 0.02-0.13 s against 0.2-10 s a step).
TINY_PARAMETERS = 20_000_000


class Processes:
    """This process among those of the run."""

    def __init__(self, dtype: str = "float32", launch: LaunchTable | None = None) -> None:
        launch = launch or LaunchTable()
        mixed = "bf16" if dtype == "bfloat16" else "no"
        patience = InitProcessGroupKwargs(timeout=timedelta(minutes=launch.timeout))
        # An update without an image leaves the vision tower without gradients; DDP must not wait for them.
        unused = DistributedDataParallelKwargs(find_unused_parameters=True)
        self.accelerator = Accelerator(
            mixed_precision=mixed, cpu=not torch.cuda.is_available(), kwargs_handlers=[unused, patience]
        )
        self.rank = self.accelerator.process_index
        self.world = self.accelerator.num_processes
        self.first = self.rank == 0
        self.device = self.accelerator.device
        self.sharding = launch.sharding if self.world > 1 else "none"
        expected = int(os.environ.get(EXPECTED) or os.environ.get("WORLD_SIZE", "1"))
        if self.world != expected:
            raise WarmrlError(
                f"{expected} processes were asked for and {self.world} came up: the launcher did not start them all. "
                "Check `[launch] processes` and the environment (RANK, WORLD_SIZE) that this was started in."
            )

    def prepare(self, packed: PackedPolicy) -> nn.Module:
        """What to call to train: the policy in shards (in place), or wrapped so that gradients are averaged."""
        if self.sharding == "fsdp2":
            return shard(packed, self.world, self.device)
        return self.accelerator.prepare_model(packed)

    @contextmanager
    def summing(self, prepared: Any, *, last: bool) -> Iterator[None]:
        """Around forward and backward of one of an update's rows: gradients go to the others after the last alone."""
        if isinstance(prepared, FSDPModule):
            prepared.set_requires_gradient_sync(last)
            yield
        else:
            with nullcontext() if last or self.world == 1 else self.accelerator.no_sync(prepared):
                yield

    @property
    def machines(self) -> int:
        """How many machines the processes are on, when each has as many as this one."""
        return -(-self.world // local_processes())

    def devices(self) -> list[str]:
        """What each process computes on, in order of rank."""
        cuda = self.device.type == "cuda"
        return self.gather([torch.cuda.get_device_name(self.device) if cuda else self.device.type])

    def lost(self, error: Exception) -> bool:
        """Whether an error says that another process of the run is gone or came too late."""
        if isinstance(error, torch.distributed.DistError):
            return True
        return isinstance(error, RuntimeError) and "gloo/transport" in str(error)  # which has no class of its own

    def wait(self) -> None:
        """Wait until every process is here."""
        self.accelerator.wait_for_everyone()

    def agree(self, value: T) -> T:
        """The first process's value, on all of them: for decisions that depend on data or on the clock."""
        if self.world == 1:
            return value
        box = [value]
        broadcast_object_list(box)
        return box[0]

    def gather(self, mine: Sequence[T]) -> list[T]:
        """Everyone's items, in order of rank."""
        return list(mine) if self.world == 1 else list(gather_object(list(mine)))

    @contextmanager
    def together(self) -> Iterator[None]:
        """Around work that each process does alone: a `WarmrlError` that comes up in one is raised in all of them."""
        if self.world == 1:
            yield
            return
        failed: list[tuple[type[WarmrlError], str]] = []
        try:
            yield
        except Interrupted:
            raise
        except WarmrlError as error:
            failed.append((type(error), str(error)))
        for kind, why in self.gather(failed):
            found = kind(why)
            found.everywhere = True
            raise found

    def sums(self, values: dict[str, float]) -> dict[str, float]:
        """Sum each entry over the processes (float64); one that a process lacks (it had a dummy row) adds nothing."""
        if self.world == 1:
            return values
        total: dict[str, float] = {}
        for one in self.gather([values]):
            for name, value in one.items():
                total[name] = total.get(name, 0.0) + value
        return total


def tame_threads(parameters: int) -> None:
    """One thread for tiny models on a CPU: faster, and the same sums on every machine."""
    if parameters < TINY_PARAMETERS and not torch.cuda.is_available():
        torch.set_num_threads(1)
