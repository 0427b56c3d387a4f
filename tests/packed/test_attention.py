"""The packed attention against plain attention under an explicit mask, for any layout of spans."""

import hypothesis.strategies as st
import torch
from hypothesis import given, settings
from torch.nn.functional import scaled_dot_product_attention

from warmrl.packed.attention import PrefixPlan

blocks = st.lists(st.tuples(st.integers(1, 12), st.lists(st.integers(0, 9), max_size=5)), min_size=1, max_size=5)


def layout(drawn):
    """Blocks laid end to end, and the mask `[T, T]` of who sees whom."""
    found, at = [], 0
    for prompt, lengths in drawn:
        start, end = at, at + prompt
        at, spans = end, []
        for length in lengths:
            spans.append((at, at + length))
            at += length
        found.append((start, end, spans))
    seen = torch.zeros(at, at, dtype=torch.bool)
    for start, end, spans in found:
        seen[start:end, start:end] = torch.ones(end - start, end - start).tril().bool()
        for a, b in spans:
            seen[a:b, start:end] = True
            seen[a:b, a:b] = torch.ones(b - a, b - a).tril().bool()
    return found, seen


@settings(max_examples=60, deadline=None)
@given(blocks, st.sampled_from([(4, 4), (4, 2), (3, 1)]))
def test_against_an_explicit_mask(drawn, heads):
    found, seen = layout(drawn)
    draw = torch.Generator().manual_seed(len(seen))
    query, key, value = (
        torch.randn(1, n, len(seen), 8, generator=draw, dtype=torch.float64) for n in (heads[0], heads[1], heads[1])
    )
    plan = PrefixPlan.of(found, dtype=torch.float64)
    packed = plan.attend(0, query, key, value, None)
    expected = scaled_dot_product_attention(query, key, value, attn_mask=seen, enable_gqa=True).transpose(1, 2)
    assert packed.shape == expected.shape
    assert float((packed - expected).abs().max()) < 1e-12


def test_equal_groups_share_calls():
    """Sixteen groups of eight like the pocket's make two calls a layer."""
    found, _ = layout([(19, [20 + i % 3 for i in range(8)])] * 16)
    assert len(PrefixPlan.of(found).calls) == 2
