"""Entropies and nucleus sizes of the head in closed form, by brute force, in any chunks and precisions (E5).

Rows are packed, so there is no padding and no side for it to be on; `tests/engine/test_passes.py` has the masks.
"""

import math
from functools import partial

import pytest
import torch

from warmrl.packed.distribution import LIKELY, ROUNDING, entropy_at, nucleus_size
from warmrl.packed.head import product, score_tokens

TEMPERATURES = (0.6, 0.7, 1.0, 1.2)
TOY = (0.5, 0.25, 0.25)  # entropy 1.5 ln 2


def measured(logits, **how):
    """What the head says of distributions with these logits `[n, V]`, entropies at every temperature too."""
    extras = {f"entropy at {t}": partial(entropy_at, temperature=t) for t in TEMPERATURES}
    extras["nucleus"] = nucleus_size
    hidden, targets = torch.eye(len(logits)), torch.zeros(len(logits), dtype=torch.long)
    return score_tokens(hidden, logits.t().contiguous(), targets, extras=extras, **how)


def entropy64(logits, temperature=1.0):
    log_p = (logits.double() / temperature).log_softmax(1)
    return -(log_p.exp() * log_p).sum(1)


def brute_nucleus(logits, mass=0.95):
    sizes = []
    for row in logits.double().softmax(1).tolist():
        total, size = 0.0, 0
        for p in sorted(row, reverse=True):
            if total >= mass - ROUNDING:
                break
            total, size = total + p, size + 1
        sizes.append(size)
    return sizes


def off_by(found, logits):
    """The largest difference to brute force: among thousands of unlikely tokens, rounding may decide on one."""
    return max(abs(a - b) for a, b in zip(found.tolist(), brute_nucleus(logits), strict=True))


def random_logits(n=37, vocab=500, scale=3.0):
    return scale * torch.randn(n, vocab, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("vocab", [3, 64, 4096])
def test_a_uniform_distribution(vocab):
    out = measured(torch.zeros(2, vocab))
    for entropy in (out.entropy, *(out.extras[f"entropy at {t}"] for t in TEMPERATURES)):
        assert float((entropy - math.log(vocab)).abs().max()) <= 1e-5
    assert out.extras["nucleus"].tolist() == [math.ceil(0.95 * vocab)] * 2


def test_a_certain_one():
    out = measured(200 * torch.eye(2, 50))
    assert out.entropy.tolist() == [0, 0]
    assert out.extras["nucleus"].tolist() == [1, 1]
    assert all(out.extras[f"entropy at {t}"].tolist() == [0, 0] for t in TEMPERATURES)


def test_a_toy_of_three_tokens():
    out = measured(torch.tensor([TOY]).log())
    assert float(out.entropy) == pytest.approx(1.5 * math.log(2), abs=1e-6)
    assert float(out.extras["nucleus"]) == 3
    assert float(nucleus_size(torch.tensor([TOY]).log(), 0.75)) == 2
    for t in TEMPERATURES:
        powers = [p ** (1 / t) for p in TOY]
        expected = -sum(q / sum(powers) * math.log(q / sum(powers)) for q in powers)
        assert float(out.extras[f"entropy at {t}"]) == pytest.approx(expected, abs=1e-6)
    assert entropy_at(torch.tensor([TOY]).log(), 0.0).tolist() == [0.0]


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_against_float64(temperature):
    logits = random_logits()
    out = measured(logits)
    assert float((out.extras[f"entropy at {temperature}"] - entropy64(logits, temperature)).abs().max()) <= 1e-5
    assert float((out.entropy - entropy64(logits)).abs().max()) <= 1e-5
    # The head's own temperature is another way to the same number.
    assert (
        float((measured(logits, temperature=temperature).entropy - entropy64(logits, temperature)).abs().max()) <= 1e-5
    )


@pytest.mark.parametrize("scale", [0.1, 1.0, 3.0, 10.0])
def test_the_nucleus_by_brute_force(scale):
    logits = random_logits(scale=scale)
    assert measured(logits).extras["nucleus"].tolist() == brute_nucleus(logits)


def test_narrow_and_wide_nuclei_side_by_side():
    """Those within the most likely tokens, and those for which all must be sorted."""
    logits = random_logits(16, 3000) * torch.tensor([0.1, 2.0] * 8)[:, None]
    sizes = measured(logits).extras["nucleus"]
    assert bool((sizes[0::2] > 2 * LIKELY).all()) and bool((sizes[1::2] < LIKELY).all())
    assert off_by(sizes, logits) <= 1


@pytest.mark.parametrize("chunk", [1, 7, 36, 64])
def test_chunks_change_nothing(chunk):
    one, other = measured(random_logits()), measured(random_logits(), chunk=chunk)
    assert float((one.entropy - other.entropy).abs().max()) <= 1e-6
    for name in one.extras:
        assert float((one.extras[name] - other.extras[name]).abs().max()) <= (0 if name == "nucleus" else 1e-6)


def test_a_batch_is_its_tokens():
    logits = random_logits(8)
    whole, alone = measured(logits), [measured(logits[i : i + 1]) for i in range(8)]
    for name in whole.extras:
        assert float((whole.extras[name] - torch.cat([one.extras[name] for one in alone])).abs().max()) <= 1e-6


def test_a_large_vocabulary():
    """A vocabulary of Qwen2.5-VL's size, in float32 throughout."""
    logits = random_logits(4, 152_064, 2.5)
    out = measured(logits)
    assert float((out.entropy - entropy64(logits)).abs().max()) <= 1e-5
    assert off_by(out.extras["nucleus"], logits) <= 1


def test_extras_change_nothing_else_and_have_no_gradient():
    hidden, weight = torch.randn(9, 4, requires_grad=True), torch.randn(11, 4)
    plain = score_tokens(hidden, weight, torch.arange(9))
    out = score_tokens(hidden, weight, torch.arange(9), extras={"nucleus": nucleus_size})
    assert plain.extras == {}
    assert torch.equal(plain.logprob, out.logprob) and torch.equal(plain.entropy, out.entropy)
    assert not out.extras["nucleus"].requires_grad


def test_nothing_is_reduced_in_bfloat16():
    """Of bfloat16 matrices the sums are float32's; reduced in bfloat16 they would be off by a hundredth and more."""
    draw = torch.Generator().manual_seed(6)
    hidden = torch.randn(8, 64, generator=draw).bfloat16()
    weight = (0.4 * torch.randn(50_000, 64, generator=draw)).bfloat16()
    exact = hidden.double() @ weight.double().t()
    expected = entropy64(exact)
    assert product(hidden, weight.t()).dtype == torch.float32
    out = score_tokens(hidden, weight, torch.zeros(8, dtype=torch.long), extras={"nucleus": nucleus_size})
    assert float((out.entropy - expected).abs().max()) <= 1e-5
    assert off_by(out.extras["nucleus"], exact) <= 1
    log_p = (hidden @ weight.t()).log_softmax(1)
    assert float((-(log_p.exp() * log_p).sum(1) - expected).abs().max()) > 1e-2, "the test sees the difference"
    for measure in (nucleus_size, partial(entropy_at, temperature=1.0)):
        with pytest.raises(ValueError, match=r"float32, not in torch\.bfloat16"):
            measure(log_p)


def test_a_temperature_below_zero_is_refused():
    with pytest.raises(ValueError, match="not below 0"):
        entropy_at(torch.zeros(1, 3), -1.0)
