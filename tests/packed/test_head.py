"""The chunked head against log_softmax in float64: values, gradients, divergences, any chunk size."""

import pytest
import torch

from warmrl.packed.head import Divergence, SequenceLoss, TokenLoss, score_tokens

N, H, V = 37, 16, 53


def inputs(dtype=torch.float64, vocab=V):
    draw = torch.Generator().manual_seed(1)
    hidden = torch.randn(N, H, generator=draw, dtype=torch.float64)
    weight = torch.randn(vocab, H, generator=draw, dtype=torch.float64) / H**0.5
    targets = torch.randint(0, vocab, (N,), generator=draw)
    scale = torch.randn(N, generator=draw, dtype=torch.float64)
    return hidden.to(dtype).requires_grad_(), weight.to(dtype).requires_grad_(), targets, scale


def naive(hidden, weight, targets, temperature=1.0):
    log_p = (hidden @ weight.t() / temperature).log_softmax(1)
    return log_p, log_p.gather(1, targets[:, None]).squeeze(1), -(log_p.exp() * log_p).sum(1)


def close(found, expected, tolerance=1e-5):
    for a, b in zip(found, expected, strict=True):
        assert float((a.detach().double() - b.detach()).norm() / b.detach().norm()) <= tolerance


@pytest.mark.parametrize("chunk", [1, 7, 37, 64])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_token_loss(chunk, temperature):
    """A clipped ratio and an entropy bonus: both gradients, through a loss that is scaled afterwards."""
    hidden, weight, targets, scale = inputs()

    def fn(logprob, entropy, rows):
        s = scale.to(logprob.dtype)[rows]
        return (torch.minimum(logprob.exp() * s, 0.5 * s) + 0.1 * s * entropy**2).sum()

    _, logprob, entropy = naive(hidden, weight, targets, temperature)
    expected = torch.autograd.grad(3 * fn(logprob, entropy, slice(None)), (hidden, weight))
    small = inputs(torch.float32)
    out = score_tokens(*small[:3], TokenLoss(fn), temperature=temperature, chunk=chunk)
    found = torch.autograd.grad(3 * out.loss, small[:2])
    close(found, expected)
    close([out.logprob, out.entropy, out.loss], [logprob, entropy, fn(logprob, entropy, slice(None))])


@pytest.mark.parametrize("direction", ["reverse", "forward", "jsd"])
@pytest.mark.parametrize(("student", "teacher"), [(V, V), (V, V + 8), (V + 8, V)], ids=["same", "wider", "narrower"])
def test_divergence(direction, student, teacher):
    """Exact over the shared vocabulary, whichever of the two is padded; added to a token loss."""
    hidden, weight, targets, scale = inputs(vocab=student)
    draw = torch.Generator().manual_seed(2)
    th = torch.randn(N, 24, generator=draw, dtype=torch.float64)
    tw = torch.randn(teacher, 24, generator=draw, dtype=torch.float64) / 4

    def token(logprob, entropy, rows):
        return (scale.to(logprob.dtype)[rows] * logprob).sum()

    shared = min(student, teacher)
    log_p, log_q = naive(hidden, weight[:shared], targets * 0)[0], (th @ tw[:shared].t()).log_softmax(1)
    p, q = log_p.exp(), log_q.exp()
    log_m = (0.3 * q + 0.7 * p).log()
    value = {
        "reverse": (p * (log_p - log_q)).sum(1),
        "forward": (q * (log_q - log_p)).sum(1),
        "jsd": (0.3 * q * (log_q - log_m) + 0.7 * p * (log_p - log_m)).sum(1),
    }[direction]
    loss = (scale * value).sum() + token(naive(hidden, weight, targets)[1], None, slice(None))
    expected = torch.autograd.grad(loss, (hidden, weight))
    small = inputs(torch.float32, student)
    told = Divergence(th.float(), tw.float(), scale.float(), direction, beta=0.3, also=TokenLoss(token))
    out = score_tokens(*small[:3], told, chunk=10)
    close(torch.autograd.grad(out.loss, small[:2]), expected)
    close([out.divergence, out.loss], [value, loss])


def test_sequence_loss():
    """A loss of sums over sequences (as in DPO) has its gradient too, through two passes."""
    hidden, weight, targets, _ = inputs()

    def fn(logprob, entropy):
        margin = logprob[:20].sum() - logprob[20:].sum()
        return -torch.nn.functional.logsigmoid(0.1 * margin) + entropy.mean()

    _, logprob, entropy = naive(hidden, weight, targets)
    expected = torch.autograd.grad(fn(logprob, entropy), (hidden, weight))
    small = inputs(torch.float32)
    out = score_tokens(*small[:3], SequenceLoss(fn), chunk=8)
    close(torch.autograd.grad(out.loss, small[:2]), expected)
    close([out.loss], [fn(logprob, entropy)])


def test_without_loss_or_gradient():
    hidden, weight, targets, _ = inputs(torch.float32)
    out = score_tokens(hidden, weight, targets)
    assert float(out.loss.detach()) == 0
    assert not out.logprob.requires_grad
    with torch.no_grad():
        scored = score_tokens(hidden, weight, targets, TokenLoss(lambda logprob, entropy, rows: logprob.sum()))
    assert not scored.loss.requires_grad
    assert float(scored.loss) == pytest.approx(float(out.logprob.sum()), rel=1e-6)


def test_frozen_head():
    hidden, weight, targets, _ = inputs(torch.float32)
    out = score_tokens(hidden, weight.detach(), targets, TokenLoss(lambda logprob, entropy, rows: logprob.sum()))
    out.loss.backward()
    assert hidden.grad is not None
    assert weight.grad is None


def test_autocast():
    """Under autocast the matrix products are in bfloat16, the reductions in float32, gradients in the weights' type."""
    hidden, weight, targets, _ = inputs(torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        out = score_tokens(hidden, weight, targets, TokenLoss(lambda logprob, entropy, rows: logprob.sum()))
    out.loss.backward()
    assert out.logprob.dtype == weight.grad.dtype == hidden.grad.dtype == torch.float32
    assert float((out.logprob - score_tokens(hidden, weight, targets).logprob).abs().max()) < 0.1
