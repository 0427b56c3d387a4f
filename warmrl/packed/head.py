"""One chunked pass from hidden states to log-probability, exact entropy, loss and the loss's gradient.

Logits exist for one chunk of tokens at a time, and once: the gradient is computed beside the loss, in the forward
pass (6HV multiplications a token instead of the 8HV of recomputing). All reductions are in float32.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

# Logits of one chunk: at least 256 tokens, so that the weight gradient is a matrix product worth the name.
CHUNK_LOGITS = 1 << 23
# Tokens whose entropy (or what else is asked for) is taken at once.
ENTROPY_TOKENS = 32
# The logarithm of no probability at all: its exponential is 0 in float32, and unlike -inf it can be subtracted.
NOTHING = -1e4
# Least mass of a teacher's tail: below the rounding of float32, what its log-probabilities leave of 1 is not known.
LEAST_TAIL = 2.0**-23

Direction = Literal["reverse", "forward", "jsd"]


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
        beta: The mixture of `jsd`, between 0 and 1.
        also: A token loss added to it, on the same logits.
    """

    teacher_hidden: Tensor
    teacher_weight: Tensor
    weight: Tensor
    direction: Direction = "reverse"
    beta: float = 0.5
    also: TokenLoss | None = None


@dataclass(frozen=True)
class TopK:
    """`sum_n weight_n D_n`, D the divergence to a teacher of whom the k most probable tokens are known.

    Student and teacher are compared over k + 1 outcomes: these tokens, and all others together (the tail). So D is
    a divergence in its own right, and never above that of the whole vocabulary (data-processing inequality). Without
    the tail the reverse one could be made small by moving mass out of the k tokens (verl, pull request 5041).

    Args:
        ids: `[N, k]` int64, the teacher's most probable tokens, each once; -1 where fewer are known.
        logprobs: `[N, k]` their log-probabilities under the teacher, at temperature 1.
        weight: `[N]` weight of each token, normaliser included.
        direction: Which divergence, as for `Divergence`.
        beta: The mixture of `jsd`, between 0 and 1.
        also: A token loss added to it, on the same logits.
    """

    ids: Tensor
    logprobs: Tensor
    weight: Tensor
    direction: Direction = "reverse"
    beta: float = 0.5
    also: TokenLoss | None = None


Loss = TokenLoss | SequenceLoss | Divergence | TopK
_PerToken = TokenLoss | Divergence | TopK
# What else is asked of each token's distribution: from the log-probabilities [n, V] of n tokens, float32, a number
# for each [n]. They are read, never written.
Extras = Mapping[str, Callable[[Tensor], Tensor]]


@dataclass(frozen=True)
class HeadOutput:
    """What the head says of N tokens: the loss (a scalar, 0 without one) and per token, without gradient, the rest.

    `logprob` and `entropy` are of the distribution at the given temperature, natural logarithms. `divergence` is
    unweighted; None when the loss has none. `extras` has a column for each that was asked for, and with `TopK`
    `student_mass`: the student's probability of the tokens that are compared one by one.
    """

    loss: Tensor
    logprob: Tensor
    entropy: Tensor
    divergence: Tensor | None = None
    extras: Mapping[str, Tensor] = field(default_factory=dict)


def score_tokens(
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    loss: Loss | None = None,
    *,
    temperature: float = 1.0,
    chunk: int | None = None,
    extras: Extras | None = None,
) -> HeadOutput:
    """Log-probability and entropy of each token, the loss, and (through `loss.backward()`) its gradient.

    Args:
        hidden: `[N, H]` hidden states that predict the tokens.
        weight: `[V, H]` output head.
        targets: `[N]` the tokens.
        loss: What to train on; None scores only.
        temperature: Logits are divided by it.
        chunk: Tokens whose logits exist at once; None chooses.
        extras: What else is wanted of each token's distribution, by name; without gradient.
    """
    if isinstance(loss, TopK) and temperature != 1.0:
        raise ValueError("the teacher's top-k log-probabilities are known at temperature 1 alone")
    chunk = chunk or chunk_tokens(weight.shape[0])
    device = hidden.device.type
    if device != "cuda":  # there are no low-precision products that end in float32
        hidden, weight = hidden.float(), weight.float()
    elif torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
        hidden, weight = hidden.to(dtype), weight.to(dtype)
    with torch.autocast(device, enabled=False):
        if isinstance(loss, SequenceLoss):
            loss = _token_form(loss, score_tokens(hidden.detach(), weight.detach(), targets, temperature=temperature))
        trains = loss is not None and torch.is_grad_enabled()
        names = [*(extras or {}), *(["student_mass"] if isinstance(loss, TopK) else [])]
        asked = _Asked(extras or {}, {name: hidden.new_zeros(len(hidden), dtype=torch.float32) for name in names})
        settings = loss, trains, temperature, chunk, asked
        total, logprob, entropy, divergence = _Head.apply(hidden, weight, targets, *settings)
    known = divergence if isinstance(loss, Divergence | TopK) else None
    return HeadOutput(total, logprob, entropy, known, asked.found)


def chunk_tokens(vocabulary: int) -> int:
    """Tokens whose logits exist at once."""
    return max(256, CHUNK_LOGITS // vocabulary)


@dataclass(frozen=True)
class _Asked:
    """The extras, and a column `[N]` for each, written a chunk at a time."""

    of: Extras
    found: dict[str, Tensor]

    def write(self, log_p: Tensor, rows: slice) -> None:
        """The numbers of the tokens `rows`, a few at a time: sorting all takes several tensors of the chunk's size."""
        for name, measure in self.of.items():
            self.found[name][rows] = torch.cat([measure(part) for part in log_p.split(ENTROPY_TOKENS)])


class _Head(torch.autograd.Function):
    """The chunked pass; the gradients of hidden states and weight are ready when the forward pass ends."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, loss: _PerToken | None, trains: bool,
        temperature: float, chunk: int, asked: _Asked,
    ) -> tuple[Tensor, ...]:  # fmt: skip
        by_hidden, by_weight = (trains and needed for needed in ctx.needs_input_grad[:2])
        grad_hidden = torch.empty_like(hidden) if by_hidden else None
        grad_weight = torch.zeros_like(weight, dtype=torch.float32) if by_weight else None
        total = hidden.new_zeros((), dtype=torch.float32)
        scores = [hidden.new_zeros(len(hidden), dtype=torch.float32) for _ in range(3)]
        for start in range(0, len(hidden), chunk):
            rows = slice(start, min(start + chunk, len(hidden)))
            total += _chunk(hidden, weight, targets, loss, temperature, rows, scores, asked, grad_hidden, grad_weight)
        ctx.save_for_backward(grad_hidden, grad_weight)
        ctx.weight_dtype = weight.dtype
        ctx.mark_non_differentiable(*scores)
        return total, *scores

    @staticmethod
    def backward(ctx: Any, scale: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight = ctx.saved_tensors
        by_hidden = None if hidden is None else hidden * scale.to(hidden.dtype)
        by_weight = None if weight is None else (weight * scale).to(ctx.weight_dtype)
        return by_hidden, by_weight, None, None, None, None, None, None


def _chunk(
    hidden: Tensor, weight: Tensor, targets: Tensor, loss: _PerToken | None, temperature: float, rows: slice,
    scores: list[Tensor], asked: _Asked, grad_hidden: Tensor | None, grad_weight: Tensor | None,
) -> Tensor:  # fmt: skip
    """The loss of the tokens `rows`; writes their scores and gradients. What has a chunk's size ends with it."""
    logits = product(hidden[rows], weight.t()).div_(temperature)
    seen = _Chunk(logits, targets[rows], rows, temperature)
    asked.write(seen.log_p, rows)
    part, grad = seen.loss(loss, scores[2], asked.found)
    scores[0][rows], scores[1][rows] = seen.logprob, seen.entropy
    if grad is not None and (grad_hidden is not None or grad_weight is not None):
        grad = grad.div_(temperature).to(hidden.dtype)
        if grad_hidden is not None:
            torch.mm(grad, weight, out=grad_hidden[rows])
        if grad_weight is not None:
            _add_product(grad_weight, grad, hidden[rows])
    return part


def product(left: Tensor, right: Tensor) -> Tensor:
    """A matrix product in float32, also of low-precision matrices.

    A logit that is rounded to bfloat16 has 8 bits; the sums behind it have more, and this keeps them.
    """
    if left.dtype == right.dtype == torch.float32:
        return torch.mm(left, right)
    if left.is_cuda:
        return torch.mm(left, right, out_dtype=torch.float32)
    return torch.mm(left.float(), right.float())


def _add_product(total: Tensor, grad: Tensor, hidden: Tensor) -> None:
    """Add grad `[n, V]`^T hidden `[n, H]` to total `[V, H]`: chunks are summed in float32."""
    if grad.dtype == total.dtype:
        total.addmm_(grad.t(), hidden)
    else:
        total.add_(product(grad.t(), hidden))


class _Chunk:
    """The tokens `rows` while their logits `[n, V]` exist: log-probability and entropy `[n]`, loss and gradient."""

    def __init__(self, logits: Tensor, targets: Tensor, rows: slice, temperature: float) -> None:
        self.log_p = logits.sub_(logits.logsumexp(1, keepdim=True))
        self.p = self.log_p.exp()
        self.targets, self.rows, self.temperature = targets, rows, temperature
        self.logprob = self.log_p.gather(1, targets[:, None]).squeeze(1)
        # A few tokens at a time: the product of all would be a third tensor of the chunk's size.
        parts = zip(self.p.split(ENTROPY_TOKENS), self.log_p.split(ENTROPY_TOKENS), strict=True)
        self.entropy = -torch.cat([(p * log_p).sum(1) for p, log_p in parts])

    def loss(
        self, loss: _PerToken | None, divergence: Tensor, found: Mapping[str, Tensor]
    ) -> tuple[Tensor, Tensor | None]:
        """The chunk's loss and its gradient by the logits (None: there is none); writes what it finds on the way."""
        value, grad = self.log_p.new_zeros(()), None
        if isinstance(loss, Divergence):
            value, grad = self._to_teacher(loss, divergence)
            loss = loss.also
        elif isinstance(loss, TopK):
            value, grad = self._to_top(loss, divergence, found["student_mass"])
            loss = loss.also
        if loss is None:
            return value, grad
        more, own = self._of_tokens(loss)
        return value + more, own if grad is None else grad.add_(own)

    def _of_tokens(self, loss: TokenLoss) -> tuple[Tensor, Tensor]:
        """With z the logits and p their softmax: d log p_t / dz = onehot_t - p, dH / dz = -p (log p + H).

        Comes last: it may use p and log p up.
        """
        points = self.logprob.clone().requires_grad_(), self.entropy.clone().requires_grad_()
        with torch.enable_grad():
            value = loss.fn(*points, self.rows)
        by_logprob, by_entropy = _gradient(value, points)
        slope = torch.zeros_like(self.logprob) if by_logprob is None else by_logprob
        if by_entropy is None:
            grad = self.p.mul_(-slope[:, None])  # in its place: p is not read again
        else:
            rise = self.log_p.add_(self.entropy[:, None]).mul_(by_entropy[:, None])  # in its place, too
            grad = rise.add_(slope[:, None]).mul_(self.p).neg_()
        return value.detach(), grad.scatter_add_(1, self.targets[:, None], slope[:, None])

    def _to_teacher(self, loss: Divergence, out: Tensor) -> tuple[Tensor, Tensor]:
        """The weighted divergence over the shared vocabulary, and its gradient."""
        log_p, p = self.log_p, self.p
        shared = min(log_p.shape[1], loss.teacher_weight.shape[0])
        padding = log_p.shape[1] - shared
        if padding:
            log_p = log_p[:, :shared].log_softmax(1)
            p = log_p.exp()
        head = loss.teacher_weight[:shared]
        logits = product(loss.teacher_hidden[self.rows].to(head.dtype), head.t())
        log_q = logits.div_(self.temperature).log_softmax(1)
        weight = loss.weight[self.rows].float()[:, None]
        value, grad = _divergence(log_p, p, log_q, loss.direction, loss.beta)
        out[self.rows] = value.squeeze(1)
        return (value * weight).sum(), torch.nn.functional.pad(grad.mul_(weight), (0, padding))

    def _to_top(self, loss: TopK, out: Tensor, mass: Tensor) -> tuple[Tensor, Tensor]:
        """The weighted divergence over k tokens and the tail, and its gradient.

        A token of the tail has the tail's gradient by its share of the tail's mass, p_j / p_tail.
        """
        known = loss.ids[self.rows] >= 0
        ids = loss.ids[self.rows].clamp(min=0)
        others = self.log_p.scatter_reduce(1, ids, torch.where(known, NOTHING, math.inf), "amin")
        rest = others.logsumexp(1, keepdim=True)
        mass[self.rows] = -torch.expm1(rest.squeeze(1))
        log_p = torch.cat([self.log_p.gather(1, ids).masked_fill(~known, NOTHING), rest], 1)
        log_q = loss.logprobs[self.rows].float().masked_fill(~known, NOTHING)
        # In float64: a sure teacher's tail is far below the rounding of the sum of the others.
        tail = (1 - log_q.double().exp().sum(1, keepdim=True)).clamp(min=LEAST_TAIL).log().float()
        tail = torch.where(rest > NOTHING / 2, tail, rest)  # k is the whole vocabulary: there is no tail
        log_q = torch.cat([log_q, tail], 1).log_softmax(1)
        weight = loss.weight[self.rows].float()[:, None]
        value, grad = _divergence(log_p, log_p.exp(), log_q, loss.direction, loss.beta)
        out[self.rows] = value.squeeze(1)
        grad = grad.mul_(weight)
        spread = others.sub_(rest).exp_().mul_(grad[:, -1:])
        return (value * weight).sum(), spread.scatter_add_(1, ids, grad[:, :-1])


def _divergence(log_p: Tensor, p: Tensor, log_q: Tensor, direction: Direction, beta: float) -> tuple[Tensor, Tensor]:
    """D `[n, 1]` and its gradient by the logits `[n, V]`: for dD/dp_i = f_i that is p_i (f_i - sum p f).

    f is log p - log q for `reverse` and (1 - beta) (log p - log m) for `jsd`; for `forward` it comes to p - q.
    """
    if direction == "forward":
        q = log_q.exp()
        return (q * (log_q - log_p)).sum(1, keepdim=True), p - q
    if direction == "reverse":
        gap = log_p - log_q
        value = (p * gap).sum(1, keepdim=True)
        return value, p * (gap - value)
    log_m = torch.logaddexp(log_q + math.log(beta), log_p + math.log1p(-beta))
    gap = log_p - log_m
    student = (p * gap).sum(1, keepdim=True)
    value = beta * (log_q.exp() * (log_q - log_m)).sum(1, keepdim=True) + (1 - beta) * student
    return value, (1 - beta) * p * (gap - student)


def _token_form(loss: SequenceLoss, scored: HeadOutput) -> TokenLoss:
    """The token loss that has the value and the gradient of a sequence loss at these log-probabilities."""
    points = scored.logprob.clone().requires_grad_(), scored.entropy.clone().requires_grad_()
    with torch.enable_grad():
        value = loss.fn(*points)
    slopes = _gradient(value, points)

    def fn(logprob: Tensor, entropy: Tensor, rows: slice) -> Tensor:
        total = value.detach() if rows.start == 0 else logprob.new_zeros(())
        for slope, now in zip(slopes, (logprob, entropy), strict=True):
            if slope is not None:
                total = total + (slope[rows] * (now - now.detach())).sum()
        return total

    return TokenLoss(fn)


def _gradient(value: Tensor, points: tuple[Tensor, Tensor]) -> tuple[Tensor | None, Tensor | None]:
    """The gradient of a scalar by both points; None where it does not depend on one."""
    if not value.requires_grad:
        return None, None
    by_logprob, by_entropy = torch.autograd.grad(value, points, allow_unused=True)
    return by_logprob, by_entropy
