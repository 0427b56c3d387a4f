"""The output head alone: 2048 tokens of a vocabulary of 32k, log-probability, entropy, loss and both gradients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bench import measure
from bench.compare import Case, Cost, Figure, time_all
from bench.contenders import PACKED
from bench.parity import check
from warmrl.packed.head import TokenLoss, score_tokens

TOKENS, HIDDEN, VOCABULARY = 2048, 512, 32768
NAIVE = "log_softmax over all logits"


def inputs() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Hidden states `[N, H]`, head `[V, H]`, targets `[N]` and advantages `[N]`."""
    draw = torch.Generator().manual_seed(0)
    hidden = torch.randn(TOKENS, HIDDEN, generator=draw).requires_grad_()
    weight = (torch.randn(VOCABULARY, HIDDEN, generator=draw) / HIDDEN**0.5).requires_grad_()
    targets = torch.randint(VOCABULARY, (TOKENS,), generator=draw)
    return hidden, weight, targets, torch.randn(TOKENS, generator=draw) / TOKENS


def packed(hidden: Tensor, weight: Tensor, targets: Tensor, advantages: Tensor) -> float:
    """warmrl's chunked head."""
    fn = lambda logprob, _entropy, rows: -(advantages[rows] * logprob).sum()  # noqa: E731
    out = score_tokens(hidden, weight, targets, TokenLoss(fn))
    out.loss.backward()
    return float(out.loss.detach())


def naive(hidden: Tensor, weight: Tensor, targets: Tensor, advantages: Tensor) -> float:
    """All logits at once, and the entropy that both of them log."""
    log_p = (hidden @ weight.t()).log_softmax(1)
    with torch.no_grad():
        _entropy = -(log_p.exp() * log_p).sum(1)
    loss = -(advantages * log_p.gather(1, targets[:, None]).squeeze(1)).sum()
    loss.backward()
    return float(loss.detach())


def head(settings: Any) -> Case:
    """Extra memory and time of the head against the plain computation."""
    given = inputs()
    case = Case("head", f"{TOKENS} tokens, hidden {HIDDEN}, vocabulary {VOCABULARY}, float32")
    calls: list[tuple[str, Callable[..., float]]] = [(PACKED, packed), (NAIVE, naive)]
    expected = None
    for name, call in calls:
        with measure.flops() as counted:
            loss = Head(call, given).update()
        found = loss, {"hidden": given[0].grad, "head": given[1].grad}
        expected = expected or found
        case.costs.append(Cost(name, gap=check(name, found, expected), flops=counted.get_total_flops(), trained=TOKENS))
    del found, expected
    time_all(case, [Head(call, given) for _, call in calls], max(settings.repeats, 3), "cpu")
    own, plain = case.costs
    if own.peak and plain.peak:
        # Resident memory depends on what the heap held before: gated as loosely as times are.
        case.figures.append(Figure("extra memory, warmrl / plain", own.peak / plain.peak, 0.2, "at most", "time"))
    case.figures.append(Figure("time, warmrl / plain", own.best / plain.best, 1.1, "at most", "time"))
    return case


@dataclass
class Head:
    """A way of computing the head, on given inputs."""

    call: Callable[..., float]
    given: tuple[Tensor, ...]

    def update(self) -> float:
        """The loss, with gradients anew."""
        self.given[0].grad = self.given[1].grad = None
        return self.call(*self.given)
