"""What one call costs: multiplications and additions, time, saved activations, peak memory, tokens pushed."""

from __future__ import annotations

import ctypes
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

MIB = 2**20


def attention_flops(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    """Two matrix products over the whole rectangle of queries and keys, whatever the mask: the same for everyone."""
    batch, heads, asked, width = query
    return 2 * batch * heads * asked * key[2] * (width + value[3])


def attention_backward_flops(_: Any, query: Any, key: Any, value: Any, *__: Any, **___: Any) -> int:
    """Five products: the scores once more, and the gradients of scores, queries, keys and values."""
    batch, heads, asked, width = query
    return 2 * batch * heads * asked * key[2] * (3 * width + 2 * value[3])


def added_product_flops(_total: Any, left: Any, right: Any, *_: Any, **__: Any) -> int:
    """A matrix product added to a matrix in place."""
    return 2 * left[0] * left[1] * right[1]


# What torch's own counter doesn't know: attention on a CPU (on a GPU it counts the whole rectangle too), and products
# in place (warmrl's head has one).
MORE = {
    torch.ops.aten.addmm_: added_product_flops,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: attention_flops,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: attention_backward_flops,
}


def flops() -> FlopCounterMode:
    """Counts the operations of all matrix products, convolutions and attention while it is entered."""
    return FlopCounterMode(display=False, custom_mapping=MORE)


class Saved:
    """Bytes of activations that autograd keeps, each storage once, parameters left out: in all, and most at a time."""

    def __init__(self, model: nn.Module) -> None:
        self.weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
        self.uses: dict[int, int] = {}
        self.now = self.total = self.most = 0

    def keep(self, tensor: Tensor) -> Tensor | _Kept:
        """A tensor as it is kept."""
        storage = tensor.untyped_storage()
        place, size = storage.data_ptr(), storage.nbytes()
        if place in self.weights or not size:
            return tensor
        if place not in self.uses:
            self.uses[place] = 0
            self.now += size
            self.total += size
            self.most = max(self.most, self.now)
        self.uses[place] += 1
        return _Kept(tensor, self)

    def gone(self, tensor: Tensor) -> None:
        """It is kept no more."""
        place = tensor.untyped_storage().data_ptr()
        self.uses[place] -= 1
        if not self.uses[place]:
            del self.uses[place]
            self.now -= tensor.untyped_storage().nbytes()


class _Kept:
    """A tensor that autograd holds, which tells when it is let go."""

    def __init__(self, tensor: Tensor, count: Saved) -> None:
        self.tensor, self.count = tensor, count

    def __del__(self) -> None:
        self.count.gone(self.tensor)


@contextmanager
def saved(model: nn.Module) -> Iterator[Saved]:
    """Count what forward passes keep for their backward passes."""
    count = Saved(model)
    back = lambda kept: kept.tensor if isinstance(kept, _Kept) else kept  # noqa: E731
    with torch.autograd.graph.saved_tensors_hooks(count.keep, back):
        yield count


def seconds(call: Callable[[], Any], device: str) -> float:
    """Process time on a CPU (others share the machine), wall-clock time on a GPU."""
    if device == "cpu":
        start = time.process_time()
        call()
        return time.process_time() - start
    torch.cuda.synchronize()
    start = time.perf_counter()
    call()
    torch.cuda.synchronize()
    return time.perf_counter() - start


def peak_bytes(call: Callable[[], Any], device: str) -> int | None:
    """How far memory rises above where it was; None where the system doesn't say."""
    if device != "cpu":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        return torch.cuda.max_memory_allocated() - before
    marks = Path("/proc/self/clear_refs")
    if sys.platform != "linux" or not marks.exists():
        return None
    ctypes.CDLL(None).malloc_trim(0)  # memory freed before and not given back would hide what is taken now
    marks.write_text("5")  # the peak starts again from what is resident now
    before = resident("VmRSS")
    call()
    return resident("VmHWM") - before


def resident(entry: str) -> int:
    """A line of /proc/self/status, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(entry)) * 1024


@dataclass
class Pushed:
    """Tokens that went through a decoder, padding and all."""

    tokens: int = 0


@contextmanager
def pushed(decoder: nn.Module) -> Iterator[Pushed]:
    """Count the tokens of every forward pass of `decoder` (what checkpointing does again is not one)."""
    count = Pushed()

    def see(_module: nn.Module, _args: Any, given: dict[str, Any]) -> None:
        embeds = given.get("inputs_embeds")
        count.tokens += embeds.shape[:2].numel() if embeds is not None else 0

    hook = decoder.register_forward_pre_hook(see, with_kwargs=True)
    try:
        yield count
    finally:
        hook.remove()
