"""One chunked pass from hidden states to log-probability, exact entropy, loss and the loss's gradient.

Logits exist for one chunk of tokens at a time, and once: the gradient is computed beside the loss, in the forward
pass (6HV multiplications a token instead of the 8HV of recomputing). All reductions are in float32.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

# Logits of one chunk: at least 256 tokens, so that the weight gradient is a matrix product worth the name.
CHUNK_LOGITS = 1 << 23


@dataclass(frozen=True)
class TokenLoss:
    """A loss that is a sum over tokens of a function of their log-probability and entropy.

    `fn(logprob [n], entropy [n], rows)` gives the summed, differentiable loss of the tokens `rows` (a slice of the
    row's N scored tokens). Normalisers belong in it: nothing is divided by anything here.
    """

    fn: Callable[[Tensor, Tensor, slice], Tensor]


@dataclass(frozen=True)
class SequenceLoss:
    """A loss that needs all tokens of a row at once (DPO, GSPO): `fn(logprob [N], entropy [N])` gives a scalar.

    Costs one more pass through the head, without gradient.
    """

    fn: Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Divergence:
    """`sum_n weight_n D_n`, D the exact divergence to a teacher over the whole shared vocabulary.

    With p the student, q the teacher: `reverse` KL(p || q) = sum p (log p - log q); `forward` KL(q || p); `jsd` is
    beta KL(q || m) + (1 - beta) KL(p || m) with m = beta q + (1 - beta) p (Agarwal et al. 2024, arXiv:2306.13649).
    Rows beyond the smaller vocabulary (padding) are left out, and both are normalised over the shared ones.

    Args:
        teacher_hidden: `[N, Ht]` last hidden states of the teacher at the same tokens.
        teacher_weight: `[V', Ht]` the teacher's output head.
        weight: `[N]` weight of each token, normaliser included.
        direction: Which divergence.
        beta: The mixture of `jsd`.
        also: A token loss added to it, on the same logits.
    """

    teacher_hidden: Tensor
    teacher_weight: Tensor
    weight: Tensor
    direction: Literal["reverse", "forward", "jsd"] = "reverse"
    beta: float = 0.5
    also: TokenLoss | None = None


Loss = TokenLoss | SequenceLoss | Divergence


@dataclass(frozen=True)
class HeadOutput:
    """What the head says of N tokens: the loss (a scalar, 0 without one) and per token, without gradient, the rest.

    `logprob` and `entropy` are of the distribution at the given temperature, natural logarithms. `divergence` is
    unweighted; None when the loss has none.
    """

    loss: Tensor
    logprob: Tensor
    entropy: Tensor
    divergence: Tensor | None = None


def score_tokens(
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    loss: Loss | None = None,
    *,
    temperature: float = 1.0,
    chunk: int | None = None,
) -> HeadOutput:
    """Log-probability and entropy of each token, the loss, and (through `loss.backward()`) its gradient.

    Args:
        hidden: `[N, H]` hidden states that predict the tokens.
        weight: `[V, H]` output head.
        targets: `[N]` the tokens.
        loss: What to train on; None scores only.
        temperature: Logits are divided by it.
        chunk: Tokens whose logits exist at once; None chooses.
    """
    chunk = chunk or max(256, CHUNK_LOGITS // weight.shape[0])
    if isinstance(loss, SequenceLoss):
        loss = _token_form(loss, score_tokens(hidden.detach(), weight.detach(), targets, temperature=temperature))
    total, logprob, entropy, divergence = _Head.apply(hidden, weight, targets, loss, temperature, chunk)
    return HeadOutput(total, logprob, entropy, divergence if isinstance(loss, Divergence) else None)


def _token_form(loss: SequenceLoss, scored: HeadOutput) -> TokenLoss:
    """The token loss with the value and the gradient that a sequence loss has at these log-probabilities."""
    points = scored.logprob.requires_grad_(), scored.entropy.requires_grad_()
    with torch.enable_grad():
        value = loss.fn(*points)
    by_logprob, by_entropy = _gradient(value, points)
    start = scored.logprob.detach(), scored.entropy.detach()

    def fn(logprob: Tensor, entropy: Tensor, rows: slice) -> Tensor:
        linear = (by_logprob[rows] * (logprob - start[0][rows])).sum()
        linear = linear + (by_entropy[rows] * (entropy - start[1][rows])).sum()
        return linear + (value.detach() if rows.start == 0 else 0.0)

    return TokenLoss(fn)


def _gradient(value: Tensor, points: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """The gradient of a scalar by both points; zero where it does not depend on one."""
    if not value.requires_grad:
        return torch.zeros_like(points[0]), torch.zeros_like(points[1])
    found = torch.autograd.grad(value, points, allow_unused=True)
    return tuple(torch.zeros_like(p) if g is None else g for g, p in zip(found, points, strict=True))


class _Head(torch.autograd.Function):
    """The chunked pass; gradients of hidden states and weight are ready when the forward pass ends."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, loss: Loss | None, temperature: float, chunk: int
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        count = len(hidden)
        needs_hidden, needs_weight = ctx.needs_input_grad[:2]
        grad_hidden = torch.empty_like(hidden) if needs_hidden and loss else None
        grad_weight = torch.zeros_like(weight, dtype=torch.float32) if needs_weight and loss else None
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)
        logprob, entropy, divergence = (torch.zeros(count, device=hidden.device) for _ in range(3))
        for start in range(0, count, chunk):
            rows = slice(start, min(start + chunk, count))
            logits = torch.mm(hidden[rows], weight.t()).float().div_(temperature)
            part, grad = _chunk(
                logits, targets[rows], rows, loss, temperature, (logprob, entropy, divergence), needs_hidden or needs_weight
            )
            total += part
            if grad is None:
                continue
            grad = grad.div_(temperature).to(hidden.dtype)
            if grad_hidden is not None:
                torch.mm(grad, weight, out=grad_hidden[rows])
            if grad_weight is not None:
                _add_product(grad_weight, grad, hidden[rows])
        ctx.save_for_backward(grad_hidden, grad_weight)
        ctx.weight_dtype = weight.dtype
        ctx.mark_non_differentiable(logprob, entropy, divergence)
        return total, logprob, entropy, divergence

    @staticmethod
    def backward(ctx: Any, scale: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        grad_hidden, grad_weight = ctx.saved_tensors
        return (
            None if grad_hidden is None else grad_hidden * scale.to(grad_hidden.dtype),
            None if grad_weight is None else (grad_weight * scale).to(ctx.weight_dtype),
            None, None, None, None,
        )  # fmt: skip


def _add_product(total: Tensor, grad: Tensor, hidden: Tensor) -> None:
    """total `[V, H]` += grad `[n, V]`^T hidden `[n, H]`, summed over chunks in float32."""
    if grad.dtype == total.dtype:
        total.addmm_(grad.t(), hidden)
    else:
        total.add_(torch.mm(grad.t(), hidden))


def _chunk(
    logits: Tensor,
    targets: Tensor,
    rows: slice,
    loss: TokenLoss | Divergence | None,
    temperature: float,
    out: tuple[Tensor, Tensor, Tensor],
    needs_grad: bool,
) -> tuple[Tensor, Tensor | None]:
    """Scores of one chunk written to `out`; its loss, and the gradient by the logits `[n, V]` (None: not needed).

    With z the logits, p their softmax and E z = sum p z: log p_t = z_t - logsumexp z and its gradient is
    onehot_t - p; the entropy is logsumexp z - E z and its gradient -p (z - E z).
    """
    lse = logits.logsumexp(1, keepdim=True)
    logits -= lse  # log p
    probs = logits.exp()
    logprob = logits.gather(1, targets[:, None]).squeeze(1).requires_grad_()
    entropy = -(probs * logits).sum(1)
    entropy.requires_grad_()
    out[0][rows], out[1][rows] = logprob.detach(), entropy.detach()
    token = loss.also if isinstance(loss, Divergence) else loss
    part, grad = torch.zeros_like(lse[0, 0]), None
    if isinstance(loss, Divergence):
        part, grad = _divergence(logits, probs, rows, loss, temperature, out[2])
    if token is None:
        return part, grad if needs_grad else None
    with torch.enable_grad():
        value = token.fn(logprob, entropy, rows)
    by_logprob, by_entropy = _gradient(value, (logprob, entropy))
    part = part + value.detach()
    if not needs_grad:
        return part, None
    own = probs * (-by_logprob[:, None])
    if by_entropy.any():
        own -= by_entropy[:, None] * probs * (logits + out[1][rows][:, None])
    own.scatter_add_(1, targets[:, None], by_logprob[:, None])
    return part, own if grad is None else grad.add_(own)


def _divergence(
    log_p: Tensor, p: Tensor, rows: slice, loss: Divergence, temperature: float, out: Tensor
) -> tuple[Tensor, Tensor]:
    """The chunk's weighted divergence and its gradient by the student's logits.

    For a D with dD/dp_i = f_i the gradient is p_i (f_i - sum p f): f is log p - log q for `reverse`,
    (1 - beta) (log p - log m) for `jsd`; for `forward` it is p - q.
    """
    shared = min(log_p.shape[1], loss.teacher_weight.shape[0])
    padded = log_p.shape[1] - shared
    if padded:
        log_p = log_p[:, :shared].log_softmax(1)
        p = log_p.exp()
    head = loss.teacher_weight[:shared]
    log_q = torch.mm(loss.teacher_hidden[rows], head.t()).float().div_(temperature).log_softmax(1)
    scale = loss.weight[rows].float()[:, None]
    if loss.direction == "forward":
        q = log_q.exp()
        value = (q * (log_q - log_p)).sum(1, keepdim=True)
        grad = (p - q) * scale
    elif loss.direction == "reverse":
        gap = log_p - log_q
        value = (p * gap).sum(1, keepdim=True)
        grad = p * (gap - value) * scale
    else:
        mix = torch.stack([log_q + torch.log(scale.new_tensor(loss.beta)),
                           log_p + torch.log(scale.new_tensor(1 - loss.beta))]).logsumexp(0)  # fmt: skip
        gap = log_p - mix
        student = (p * gap).sum(1, keepdim=True)
        value = loss.beta * (log_q.exp() * (log_q - mix)).sum(1, keepdim=True) + (1 - loss.beta) * student
        grad = (1 - loss.beta) * p * (gap - student) * scale
    out[rows] = value.squeeze(1)
    return (value * scale).sum(), torch.nn.functional.pad(grad, (0, padded))
