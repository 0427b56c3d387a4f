"""The attention of a packed row on a GPU: variable-length flash attention, or flex attention; chosen by a trial.

A backend is used on a device only after it has agreed there, forward and backward, with the SDPA calls of `attention`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

from warmrl.packed.attention import Attends, PrefixPlan, spans_of

log = logging.getLogger("warmrl")

Blocks = Sequence[tuple[int, int, Sequence[tuple[int, int]]]]
# A backend may differ from SDPA by this much of the largest value: a few steps of rounding of the precision.
AGREES = {torch.float32: 1e-5, torch.bfloat16: 3e-2, torch.float16: 4e-3}
# A longer row's block mask (made from a dense one: 10 bytes a query-key pair) would take more memory than flex saves.
FLEX_TOKENS = 8192
# The row of the trial: prompts with three, no and one completions, of uneven lengths.
TRIAL: Blocks = ((0, 37, ((37, 60), (60, 61), (61, 150))), (150, 170, ()), (170, 200, ((200, 256),)))


@dataclass(frozen=True)
class VarlenPlan:
    """Flash attention over segments of different lengths, nothing padded.

    A row is prompts and completions end to end, so queries need no gathering. A completion's keys are its prompt's,
    gathered, and its own behind them; causality is aligned at the last key, so that it sees all of its prompt.

    Args:
        keys: `[K]` token indices.
        query_ends: `[S + 1]` int32 where segments begin and end among the queries.
        key_ends: `[S + 1]` int32 where they do among the keys.
        longest: Tokens of the longest segment: queries, and keys.
        dtype: What the kernel runs in. Under autocast rotary positions leave queries and keys in float32, and nothing
            casts what a custom kernel is given.
    """

    keys: Tensor
    query_ends: Tensor
    key_ends: Tensor
    longest: tuple[int, int]
    dtype: torch.dtype

    @classmethod
    def of(cls, blocks: Blocks, *, device: torch.device | str, dtype: torch.dtype) -> VarlenPlan:
        """From the row's blocks: (prompt start, prompt end, [(completion start, end), ...])."""
        if dtype not in (torch.float16, torch.bfloat16):
            raise ValueError(f"variable-length flash attention takes float16 and bfloat16, not {dtype}")
        spans = spans_of(blocks)
        keys = [torch.arange(first, first + count) for span in spans for first, count in span.key_ranges]
        asking, seen = [span.length for span in spans], [span.keys for span in spans]
        query_ends, key_ends = (torch.tensor([0, *n]).cumsum(0).int().to(device) for n in (asking, seen))
        return cls(torch.cat(keys).to(device), query_ends, key_ends, (max(asking), max(seen)), dtype)

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float | None) -> Tensor:
        """See `Attends`."""
        asking, keys, values = (states[0].transpose(0, 1).to(self.dtype) for states in (query, key, value))
        keys, values = (states.index_select(0, self.keys) for states in (keys, values))
        return varlen(asking, keys, values, self.query_ends, self.key_ends, *self.longest, scaling)[None]


def varlen(
    query: Tensor, key: Tensor, value: Tensor, query_ends: Tensor, key_ends: Tensor, longest_query: int,
    longest_key: int, scaling: float | None,
) -> Tensor:  # fmt: skip
    """torch's kernel, causal within each segment: `[Q, heads, d]`, `[K, kv heads, d]` to `[Q, heads, d]`."""
    from torch.nn.attention.varlen import varlen_attn

    out: Any = varlen_attn(
        query.contiguous(), key, value, query_ends, key_ends, longest_query, longest_key, scale=scaling,
        window_size=(-1, 0), enable_gqa=query.shape[1] != key.shape[1],
    )  # fmt: skip
    return out


@dataclass(frozen=True)
class FlexPlan:
    """Flex attention under a block mask; the kernel skips the blocks of keys that no query sees.

    Args:
        mask: torch's `BlockMask` of the row.
        kernel: `flex_attention`, compiled on a GPU.
        dtype: What the kernel runs in (see `VarlenPlan`).
    """

    mask: Any
    kernel: Callable[..., Tensor]
    dtype: torch.dtype

    @classmethod
    def of(cls, blocks: Blocks, *, device: torch.device | str, dtype: torch.dtype) -> FlexPlan:
        """From the row's blocks: (prompt start, prompt end, [(completion start, end), ...])."""
        from torch.nn.attention.flex_attention import create_block_mask

        spans = spans_of(blocks)
        lengths = torch.tensor([span.length for span in spans])
        segment = torch.arange(len(spans)).repeat_interleave(lengths).to(device)  # [T] the segment of each token
        place = {span.start: number for number, span in enumerate(spans)}
        parents = [place[span.prompt] if span.prompt_length else number for number, span in enumerate(spans)]
        parent = torch.tensor(parents, device=device)[segment]

        def sees(_batch: Tensor, _head: Tensor, query: Tensor, key: Tensor) -> Tensor:
            return (key <= query) & ((segment[key] == segment[query]) | (segment[key] == parent[query]))

        mask = create_block_mask(sees, None, None, len(segment), len(segment), device=str(device))
        return cls(mask, flex(device), dtype)

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float | None) -> Tensor:
        """See `Attends`."""
        shared = query.shape[1] != key.shape[1]
        query, key, value = (states.to(self.dtype) for states in (query, key, value))
        out = self.kernel(query, key, value, block_mask=self.mask, scale=scaling, enable_gqa=shared)
        return out.transpose(1, 2)


def flex(device: torch.device | str) -> Any:
    """`flex_attention`: compiled for lengths that change on a GPU, as it comes elsewhere."""
    from torch.nn.attention.flex_attention import flex_attention

    return _compiled(flex_attention) if torch.device(device).type == "cuda" else flex_attention


@cache
def _compiled(kernel: Callable[..., Tensor]) -> Any:
    return torch.compile(kernel, dynamic=True)


BACKENDS: dict[str, Any] = {"varlen": VarlenPlan, "flex": FlexPlan, "sdpa": PrefixPlan}


def plan_attention(blocks: Blocks, like: Tensor, heads: tuple[int, int, int], backend: str | None = None) -> Attends:
    """The attention of a row, by the fastest backend that is right here.

    Args:
        blocks: (prompt start, prompt end, [(completion start, end), ...]).
        like: Any tensor on the device; under autocast its dtype is what attention will run in.
        heads: Query heads, key and value heads, and their width.
        backend: One of `BACKENDS`; None chooses.
    """
    kind, dtype = like.device.type, like.dtype
    if torch.is_autocast_enabled(kind):
        dtype = torch.get_autocast_dtype(kind)
    if backend is None:
        backend = "sdpa" if kind == "cpu" else choose(like.device, dtype, heads)
        if backend == "flex" and (blocks[-1][0] > FLEX_TOKENS or all(len(answers) < 2 for *_, answers in blocks)):
            backend = "sdpa"
    return BACKENDS[backend].of(blocks, device=like.device, dtype=dtype)


@cache
def choose(device: torch.device, dtype: torch.dtype, heads: tuple[int, int, int]) -> str:
    """The first backend that passes its trial on this device; SDPA calls when none does. Says which, once."""
    for name in ("varlen", "flex") if dtype in AGREES else ():
        try:
            gap = trial(name, device, dtype, heads)
        except Exception as error:  # a missing kernel shows itself in many ways; SDPA is always there
            log.warning("Attention by %s is not to be had here: %s", name, str(error).splitlines()[0])
            continue
        if gap <= AGREES[dtype]:
            log.info("Attention of packed rows on %s: %s (%.1e from SDPA).", device, name, gap)
            return name
        log.warning("Attention by %s is %.1e from SDPA on %s and is not used.", name, gap, device)
    return "sdpa"


def trial(name: str, device: torch.device, dtype: torch.dtype, heads: tuple[int, int, int]) -> float:
    """How far a backend's output and gradients are from those of SDPA calls, relative to their largest value.

    Queries and keys are float32, as rotary positions leave them under autocast. The first to ask may be a sampler, in
    inference mode.
    """
    count, shared, width = heads
    tokens, found = TRIAL[-1][2][-1][1], []
    autocast = nullcontext() if dtype == torch.float32 else torch.autocast(device.type, dtype)
    with torch.inference_mode(False), torch.enable_grad(), autocast:
        draw = torch.Generator().manual_seed(0)
        drawn = [torch.randn(1, n, tokens, width, generator=draw).to(device) for n in (count, shared, shared)]
        weight = torch.randn(1, tokens, count, width, generator=draw).to(device)
        for backend in (name, "sdpa"):
            states = [one.detach().requires_grad_() for one in (*drawn[:2], drawn[2].to(dtype))]
            out = BACKENDS[backend].of(TRIAL, device=device, dtype=dtype).attend(0, *states, None)
            found.append([out.detach(), *torch.autograd.grad((out * weight).sum(), states)])
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in zip(*found, strict=True))
