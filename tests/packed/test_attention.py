"""The packed attention against plain attention under an explicit mask, for any layout of spans."""

from dataclasses import replace

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from torch.nn.functional import scaled_dot_product_attention

from warmrl.packed import attention_gpu
from warmrl.packed.attention import PrefixPlan
from warmrl.packed.attention_gpu import FlexPlan, VarlenPlan, choose, trial

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


def kernel(query, key, value, query_ends, key_ends, longest_query, longest_key, scaling):
    """What torch documents of its variable-length kernel, in plain attention: causality aligned at the last key."""
    outputs = []
    for (a, b), (c, d) in zip(*(ends.unfold(0, 2, 1).tolist() for ends in (query_ends, key_ends)), strict=True):
        assert b - a <= longest_query
        assert d - c <= longest_key
        seen = torch.ones(b - a, d - c, dtype=torch.bool).tril((d - c) - (b - a))
        states = (part.transpose(0, 1)[None] for part in (query[a:b], key[c:d], value[c:d]))
        out = scaled_dot_product_attention(*states, attn_mask=seen, scale=scaling, enable_gqa=True)
        outputs.append(out[0].transpose(0, 1))
    return torch.cat(outputs)


@settings(max_examples=40, deadline=None)
@given(blocks, st.sampled_from([(4, 2), (2, 2)]))
def test_varlen_against_sdpa(drawn, heads):
    """The segments that the flash kernel is given, on a CPU with a plain kernel in its place."""
    found, seen = layout(drawn)
    states = [torch.randn(1, n, len(seen), 8, dtype=torch.float64) for n in (heads[0], heads[1], heads[1])]
    plan = replace(VarlenPlan.of(found, device="cpu", dtype=torch.bfloat16), dtype=torch.float64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attention_gpu, "varlen", kernel)
        got = plan.attend(0, *states, 0.3)
    expected = PrefixPlan.of(found, dtype=torch.float64).attend(0, *states, 0.3)
    assert float((got - expected).abs().max()) < 1e-12


@settings(max_examples=15, deadline=None)
@given(blocks)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_flex_against_sdpa(drawn):
    """Forward only: torch has no backward of flex attention on a CPU."""
    found, seen = layout(drawn)
    states = [torch.randn(1, n, len(seen), 16) for n in (4, 2, 2)]
    got = FlexPlan.of(found, device="cpu", dtype=torch.float32).attend(0, *states, None)
    expected = PrefixPlan.of(found).attend(0, *states, None)
    assert float((got - expected).abs().max()) < 1e-5


def test_a_backend_that_disagrees_is_not_used(monkeypatch, caplog):
    """The trial runs forward and backward; here with a kernel that is right, and one that is not causal."""
    place, heads = torch.device("cpu"), (4, 2, 16)
    monkeypatch.setattr(attention_gpu, "varlen", kernel)
    with torch.inference_mode():  # as a sampler asks
        assert trial("varlen", place, torch.bfloat16, heads) <= attention_gpu.AGREES[torch.bfloat16]
    assert choose.__wrapped__(place, torch.bfloat16, heads) == "varlen"
    wrong = lambda *args: 1.2 * kernel(*args)  # noqa: E731
    monkeypatch.setattr(attention_gpu, "varlen", wrong)
    assert choose.__wrapped__(place, torch.bfloat16, heads) == "sdpa"
    assert "is not used" in caplog.text


def test_what_a_device_lacks_is_passed_over():
    """No flash kernel and no backward of flex attention on a CPU: SDPA calls."""
    assert choose.__wrapped__(torch.device("cpu"), torch.float32, (4, 2, 16)) == "sdpa"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", ["varlen", "flex"])
def test_on_a_gpu(name):
    assert trial(name, torch.device("cuda"), torch.bfloat16, (8, 2, 64)) <= attention_gpu.AGREES[torch.bfloat16]
