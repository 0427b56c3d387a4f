"""Exact attention over a packed row: prompts read themselves, each completion reads its prompt and itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

NAME = "warmrl"

# Spans of unlike lengths share one call while its padding stays under this share of the query-key pairs asked for,
# or under this many pairs, which cost less than another call.
PADDING_SHARE = 0.25
PADDING_PAIRS = 1 << 15


class Attends(Protocol):
    """What a forward call hands to every attention layer in place of a mask: a packed row's plan, or a cache."""

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float | None) -> Tensor:
        """Queries `[B, heads, T, d]`, keys and values `[B, kv heads, T, d]` to outputs `[B, T, heads, d]`."""


@dataclass(frozen=True)
class Span:
    """A completion's tokens `[start, start + length)` and the prompt `[prompt, prompt + prompt_length)` it follows."""

    start: int
    length: int
    prompt: int = 0
    prompt_length: int = 0

    @property
    def pairs(self) -> int:
        """Query-key pairs, counting the upper triangle too."""
        return self.length * self.keys

    @property
    def keys(self) -> int:
        """How many tokens it attends to."""
        return self.prompt_length + self.length

    @property
    def key_ranges(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """The tokens it attends to, as (start, length): its prompt's, and its own."""
        return (self.prompt, self.prompt_length), (self.start, self.length)


def spans_of(blocks: Sequence[tuple[int, int, Sequence[tuple[int, int]]]]) -> list[Span]:
    """The spans of a row's blocks (prompt start, prompt end, [(completion start, end), ...]), in their order."""
    spans: list[Span] = []
    for start, end, answers in blocks:
        if len(answers) == 1:  # a prompt with its only completion right behind it: one causal span
            spans.append(Span(start, answers[0][1] - start))
            continue
        spans.append(Span(start, end - start))
        spans.extend(Span(a, b - a, start, end - start) for a, b in answers if b > a)
    return spans


@dataclass(frozen=True)
class Call:
    """One batched attention call: which tokens are queries and keys, and who sees whom.

    Args:
        query: `[B * Lq]` token indices.
        key: `[B * Lk]` token indices.
        batch: B.
        mask: `[1 or B, 1, Lq, Lk]`, added to the scores; None for plain causal attention (then Lq = Lk).
    """

    query: Tensor
    key: Tensor
    batch: int
    mask: Tensor | None


@dataclass(frozen=True)
class PrefixPlan:
    """The attention of one row as a few batched calls; built once per forward pass, read by every layer.

    Args:
        calls: The calls.
        order: `[T]` where each token's output lies among the calls' outputs laid end to end.
    """

    calls: tuple[Call, ...]
    order: Tensor

    @classmethod
    def of(
        cls,
        blocks: Sequence[tuple[int, int, Sequence[tuple[int, int]]]],
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> PrefixPlan:
        """From the row's blocks: (prompt start, prompt end, [(completion start, end), ...])."""
        spans = spans_of(blocks)
        buckets = _bucketed(spans)
        order = torch.empty(sum(span.length for span in spans), dtype=torch.long)
        calls, base = [], 0
        for bucket in buckets:
            query = _padded([(span.start, span.length) for span in bucket])
            real = torch.arange(query.shape[1]) < torch.tensor([span.length for span in bucket])[:, None]
            order[query[real]] = base + real.flatten().nonzero().squeeze(1)
            calls.append(_call(bucket, query, device, dtype))
            base += query.numel()
        return cls(tuple(calls), order.to(device))

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float | None) -> Tensor:
        """Attention of a packed row, the same in every layer.

        Args:
            layer: Which decoder layer asks.
            query: `[1, heads, T, d]`.
            key: `[1, kv heads, T, d]`.
            value: `[1, kv heads, T, d]`.
            scaling: Factor of the scores; None is `d ** -0.5`.

        Returns:
            `[1, T, heads, d]`.
        """
        queries, keys, values = (states.transpose(1, 2)[0] for states in (query, key, value))  # [T, heads, d]
        repeats = query.shape[1] // key.shape[1]
        outputs = []
        for call in self.calls:
            # Repeated keys and values would be kept for the backward pass. CUDA's kernels need them under a mask.
            grouped = call.mask is None or not query.is_cuda
            copies = 1 if grouped else repeats
            out = scaled_dot_product_attention(
                _gather(queries, call.query, call.batch),
                repeat_kv(_gather(keys, call.key, call.batch), copies),
                repeat_kv(_gather(values, call.key, call.batch), copies),
                attn_mask=call.mask,
                is_causal=call.mask is None,
                scale=scaling,
                enable_gqa=grouped and repeats > 1,
            )
            outputs.append(out.transpose(1, 2).reshape(-1, *out.shape[1::2]))
        return torch.cat(outputs).index_select(0, self.order)[None]


def _gather(states: Tensor, index: Tensor, batch: int) -> Tensor:
    """Tokens `index` `[B * L]` of `[T, heads, d]` as `[B, heads, L, d]`."""
    return states.index_select(0, index).view(batch, -1, *states.shape[1:]).transpose(1, 2)


def padded(spans: Sequence[Span]) -> tuple[int, int]:
    """Queries and keys that the calls of `PrefixPlan` gather, padding and all, summed over the spans."""
    queries = keys = 0
    for bucket in _bucketed(spans):
        longest = len(bucket) * max(span.length for span in bucket)
        queries, keys = queries + longest, keys + longest + len(bucket) * max(span.prompt_length for span in bucket)
    return queries, keys


def _bucketed(spans: Sequence[Span]) -> list[list[Span]]:
    """The spans of each call: those that are causal alone, then those that follow a prompt."""
    causal = [span for span in spans if not span.prompt_length]
    return [*_buckets(causal), *_buckets([span for span in spans if span.prompt_length])]


def _buckets(spans: Sequence[Span]) -> Iterator[list[Span]]:
    """Spans of like size together, so that padding them to the longest costs little."""
    bucket: list[Span] = []
    longest = prompt = wanted = 0
    for span in sorted(spans, key=lambda span: (span.prompt_length, span.length)):
        new_longest, new_prompt = max(longest, span.length), max(prompt, span.prompt_length)
        padded = (len(bucket) + 1) * new_longest * (new_prompt + new_longest)
        asked = wanted + span.pairs
        if bucket and padded - asked > max(PADDING_SHARE * asked, PADDING_PAIRS):
            yield bucket
            bucket, new_longest, new_prompt, asked = [], span.length, span.prompt_length, span.pairs
        bucket.append(span)
        longest, prompt, wanted = new_longest, new_prompt, asked
    if bucket:
        yield bucket


def _padded(spans: Sequence[tuple[int, int]]) -> Tensor:
    """`[B, longest]` token indices of spans (start, length); beyond its end a span repeats its last token."""
    starts, lengths = torch.tensor(spans)[..., None].unbind(1)
    return starts + torch.arange(int(lengths.max())).minimum(lengths - 1)


def _call(spans: Sequence[Span], query: Tensor, device: torch.device | str, dtype: torch.dtype) -> Call:
    """The call of a bucket, whose padded tokens are `query` `[B, L]`.

    Without prompts it is causal, and padding on the right is seen by no real token. With prompts the keys are
    `[prompt (padded) | span (padded)]`, and the mask shows each span its whole prompt and itself causally.
    """
    longest = query.shape[1]
    if not any(span.prompt_length for span in spans):
        index = query.flatten().to(device)
        return Call(index, index, len(spans), None)
    prefix = _padded([(span.prompt, span.prompt_length) for span in spans])
    lengths = torch.tensor([span.prompt_length for span in spans])
    if bool((lengths == lengths[0]).all()):
        lengths = lengths[:1]
    seen = (torch.arange(prefix.shape[1]) < lengths[:, None])[:, None, :].expand(-1, longest, -1)
    causal = torch.ones(longest, longest, dtype=torch.bool).tril().expand(len(lengths), -1, -1)
    visible = torch.cat([seen, causal], 2)[:, None]
    mask = torch.zeros(visible.shape, dtype=dtype).masked_fill_(~visible, -torch.inf)
    key = torch.cat([prefix, query], 1)
    return Call(query.flatten().to(device), key.flatten().to(device), len(spans), mask.to(device))


def attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    plan: Attends | None = None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **rest: Any,
) -> tuple[Tensor, None]:
    """The attention function that transformers calls: packed under a plan, its own `sdpa` without one.

    The plan comes with the forward call's keyword arguments, which decoder layers hand on, also when gradient
    checkpointing runs them again. Dropout and a sliding window never meet a plan (`support.why_unshared`).
    """
    if plan is None:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **rest
        )
    return plan.attend(module.layer_idx, query, key, value, scaling), None


def register() -> None:
    """Make `attn_implementation="warmrl"` known to transformers (again is harmless)."""
    AttentionInterface.register(NAME, attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)
