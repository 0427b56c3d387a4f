"""The least work against what torch's counter sees on an update that does nothing twice."""

import pytest
import torch

from bench.compare import count
from bench.contenders.packed import Packed
from bench.least import Lengths, attention, least_flops
from bench.measure import flops
from bench.shapes import small
from bench.workloads import Workload, canned

ONE = Workload("one", image=64, text=64, mean=64, cap=100, groups=2, answers=3)
TEXT = Workload("one, text", image=0, text=64, mean=64, cap=100, groups=2, answers=3)


@pytest.mark.parametrize(("workload", "image"), [(ONE, 16), (TEXT, 0)], ids=["image", "text"])
def test_products_are_counted_exactly(workload, image):
    """All but attention: there the counter sees whole rectangles, and scores computed again in the backward pass."""
    subject = small(workload, 4.0)
    rollouts = canned(workload, subject.words, 4.0)
    own = Packed(subject, rollouts)
    with flops() as counter:
        own.update()
    counted = {str(op): n for op, n in counter.get_flop_counts()["Global"].items()}
    products = sum(n for name, n in counted.items() if "attention" not in name)
    lengths = Lengths.of(rollouts, image)
    base, decoder = own.policy.packed.base, own.decoder
    seen = attention(lengths.pairs, 4, 128, train=True)
    if image:
        patches = 4 * image
        seen += attention(2 * patches * patches, 2, 128, train=True)
    assert products == least_flops(base, decoder, lengths) - seen
    assert 0 < sum(counted.values()) - products < 4 * seen
    assert count(own).tokens == rollouts.unique == lengths.fed


def test_attention_on_a_cpu_is_counted():
    """Two products forward and five backward, whole rectangles; grouped heads cost what their queries cost."""
    query = torch.randn(2, 4, 10, 8, requires_grad=True)
    key = torch.randn(2, 2, 30, 8, requires_grad=True)
    with flops() as counter:
        out = torch.nn.functional.scaled_dot_product_attention(query, key, key, enable_gqa=True)
        forward = counter.get_total_flops()
        out.sum().backward()
    assert forward == 2 * 2 * (2 * 4 * 10 * 30 * 8)
    assert counter.get_total_flops() == 7 * 2 * (2 * 4 * 10 * 30 * 8)
