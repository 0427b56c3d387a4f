"""The chunked head against log_softmax in float64: values, gradients, divergences, any chunk size."""

import pytest
import torch

from warmrl.packed.head import Divergence, SequenceLoss, TokenLoss, TopK, score_tokens

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


def buckets(log, ids):
    """Log-probabilities of the tokens `ids` and of all others together."""
    top = log.gather(1, ids)
    others = torch.ones_like(log).scatter(1, ids, 0.0)
    return torch.cat([top, (log.exp() * others).sum(1, keepdim=True).log()], 1)


def divergence_of(log_p, log_q, direction):
    p, q = log_p.exp(), log_q.exp()
    log_m = (0.3 * q + 0.7 * p).log()
    return {
        "reverse": (p * (log_p - log_q)).sum(1),
        "forward": (q * (log_q - log_p)).sum(1),
        "jsd": (0.3 * q * (log_q - log_m) + 0.7 * p * (log_p - log_m)).sum(1),
    }[direction]


def top_of(k, sharp=1.0):
    """A teacher's `[N, V]` log-probabilities in float64, and its k most probable tokens."""
    draw = torch.Generator().manual_seed(2)
    log_q = (sharp * torch.randn(N, V, generator=draw, dtype=torch.float64)).log_softmax(1)
    return log_q, log_q.topk(k).indices


@pytest.mark.parametrize("direction", ["reverse", "forward", "jsd"])
@pytest.mark.parametrize(("k", "sharp"), [(1, 1.0), (8, 1.0), (8, 4.0), (V - 1, 1.0)])
def test_top_k(direction, k, sharp):
    """Value and gradients against autograd of the plain formula over k tokens and a tail, added to a token loss."""
    hidden, weight, targets, scale = inputs()
    log_q, ids = top_of(k, sharp)

    def token(logprob, entropy, rows):
        return (scale.to(logprob.dtype)[rows] * logprob).sum()

    log_p, logprob, _ = naive(hidden, weight, targets)
    value = divergence_of(buckets(log_p, ids), buckets(log_q, ids), direction)
    loss = (scale * value).sum() + token(logprob, None, slice(None))
    expected = torch.autograd.grad(loss, (hidden, weight))
    small = inputs(torch.float32)
    told = TopK(ids, log_q.gather(1, ids).float(), scale.float(), direction, beta=0.3, also=TokenLoss(token))
    out = score_tokens(*small[:3], told, chunk=10)
    close(torch.autograd.grad(out.loss, small[:2]), expected)
    mass = log_p.gather(1, ids).exp().sum(1)
    close([out.divergence, out.loss, out.extras["student_mass"]], [value, loss, mass])
    whole = divergence_of(log_p, log_q, direction)
    assert bool((value <= whole + 1e-12).all())


@pytest.mark.parametrize("direction", ["reverse", "forward", "jsd"])
def test_top_k_of_the_whole_vocabulary_is_the_divergence(direction):
    draw = torch.Generator().manual_seed(2)
    th, tw = torch.randn(N, 24, generator=draw), torch.randn(V, 24, generator=draw) / 4
    scale = inputs()[3].float()
    top = (th @ tw.t()).log_softmax(1).topk(V)
    whole, parts = inputs(torch.float32), inputs(torch.float32)
    expected = score_tokens(*whole[:3], Divergence(th, tw, scale, direction, beta=0.3))
    found = score_tokens(*parts[:3], TopK(top.indices, top.values, scale, direction, beta=0.3))
    close([found.divergence, found.loss], [expected.divergence.double(), expected.loss.double()])
    grads = (torch.autograd.grad(one.loss, held[:2]) for one, held in ((found, parts), (expected, whole)))
    close(*grads)


@pytest.mark.parametrize("direction", ["reverse", "forward", "jsd"])
def test_top_k_with_fewer_tokens_known(direction):
    """Where a teacher tells of fewer than k tokens, it is as if k had been smaller."""
    hidden, weight, targets, scale = inputs(torch.float32)
    log_q, ids = top_of(8)
    logprobs = log_q.gather(1, ids).float()
    fewer = TopK(ids[:, :5], logprobs[:, :5], scale.float(), direction)
    padded = TopK(torch.cat([ids[:, :5], torch.full((N, 3), -1)], 1), logprobs, scale.float(), direction)
    outs = [score_tokens(hidden, weight, targets, one) for one in (fewer, padded)]
    close([outs[1].divergence], [outs[0].divergence.double()], 1e-6)
    close(*(torch.autograd.grad(one.loss, (hidden, weight)) for one in outs), 1e-6)


@pytest.mark.parametrize("direction", ["reverse", "forward", "jsd"])
def test_top_k_when_all_mass_is_there(direction):
    """A certain teacher and a certain student: nothing overflows, whether they agree or not."""
    hidden = torch.zeros(2, 4, requires_grad=True)
    weight = torch.eye(4) * 200
    with torch.no_grad():
        hidden[0, 0] = hidden[1, 1] = 1.0
    told = TopK(torch.zeros(2, 1, dtype=torch.long), torch.zeros(2, 1), torch.ones(2), direction)
    out = score_tokens(hidden, weight, torch.zeros(2, dtype=torch.long), told)
    out.loss.backward()
    assert bool(torch.isfinite(out.divergence).all())
    assert bool(torch.isfinite(hidden.grad).all())
    assert abs(float(out.divergence[0])) < 1e-4 < float(out.divergence[1])


def test_top_k_is_known_at_temperature_one_alone():
    hidden, weight, targets, scale = inputs(torch.float32)
    with pytest.raises(ValueError, match="temperature 1"):
        score_tokens(hidden, weight, targets, TopK(targets[:, None], scale[:, None], scale), temperature=0.7)
