"""Chooses the next token of every completion from its logits, by temperature, top-p and its own random numbers."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Limits:
    """How one completion is sampled: at most `tokens` tokens, `temperature` 0 is greedy, `top_p` truncates."""

    tokens: int
    temperature: float
    top_p: float


@dataclass(frozen=True)
class Choice:
    """The chosen tokens `[R]`, and their log-probability and entropy `[R]` at temperature 1, nothing left out."""

    token: Tensor
    logprob: Tensor
    entropy: Tensor


class Draw:
    """Draws for N completions, some of them at a time; completion r's t-th draw is its own uniform number u[r, t].

    Args:
        limits: How each completion is sampled.
        uniforms: Each completion's numbers in [0, 1), one for each of its tokens.
        banned: Tokens never to be drawn.
        device: Where the logits are.
    """

    def __init__(
        self, limits: Sequence[Limits], uniforms: Sequence[np.ndarray], banned: Collection[int], device: torch.device
    ) -> None:
        numbers = np.zeros((len(limits), 1 + max(one.tokens for one in limits)))  # one more for who draws too often
        for row, own in enumerate(uniforms):
            numbers[row, : len(own)] = own
        self.uniforms = torch.from_numpy(numbers).to(device)
        self.temperature = torch.tensor([one.temperature for one in limits], device=device)
        self.top_p = torch.tensor([one.top_p for one in limits], dtype=torch.float64, device=device)
        self.banned = torch.tensor(sorted(banned), dtype=torch.long, device=device)
        # What no completion asks for is skipped at every step.
        self.any_greedy = any(one.temperature == 0 for one in limits)
        self.all_greedy = all(one.temperature == 0 for one in limits)
        self.tempered = any(one.temperature not in (0, 1) for one in limits)
        self.truncated = any(one.top_p < 1 for one in limits)

    def __call__(self, logits: Tensor, rows: Tensor, count: Tensor) -> Choice:
        """Choose from `logits` `[R, V]` for the completions `rows` `[R]`, which have `count` `[R]` tokens so far."""
        log_p = logits.float().log_softmax(1)
        p = log_p.exp()
        entropy = -(p * log_p).sum(1)
        token = self._greedy(log_p) if self.all_greedy else self._sampled(log_p, p, rows, count)
        if self.any_greedy and not self.all_greedy:
            token = torch.where(self.temperature[rows] == 0, self._greedy(log_p), token)
        return Choice(token, log_p.gather(1, token[:, None]).squeeze(1), entropy)

    def _greedy(self, log_p: Tensor) -> Tensor:
        return log_p.index_fill(1, self.banned, -torch.inf).argmax(1) if len(self.banned) else log_p.argmax(1)

    def _sampled(self, log_p: Tensor, p: Tensor, rows: Tensor, count: Tensor) -> Tensor:
        """The token at which the cumulative distribution, banned and truncated tokens left out, passes u."""
        if self.tempered:
            temperature = self.temperature[rows, None]
            p = (log_p / temperature.where(temperature > 0, 1.0)).softmax(1)
        p = p.double()
        if len(self.banned):
            p = p.index_fill(1, self.banned, 0.0)
        if self.truncated:
            p = nucleus(p, self.top_p[rows, None])
        below = p.cumsum(1)
        target = self.uniforms[rows, count][:, None] * below[:, -1:]
        return torch.searchsorted(below, target, right=True).squeeze(1).clamp(max=p.shape[1] - 1)


def nucleus(p: Tensor, top_p: Tensor) -> Tensor:
    """`[R, V]` with zero for all but the most probable tokens that together reach `top_p` `[R, 1]` of the mass."""
    ordered, index = p.sort(1, descending=True)
    before = ordered.cumsum(1) - ordered
    ordered = ordered.where(before < top_p * p.sum(1, keepdim=True), torch.zeros_like(ordered))
    return torch.zeros_like(p).scatter(1, index, ordered)
