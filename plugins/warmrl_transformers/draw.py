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
    """Draws for R completions; completion r's draw at step t is its own uniform number u[r, t].

    Args:
        limits: How each completion is sampled.
        uniforms: Each completion's numbers in [0, 1), one for each step.
        banned: Tokens never to be drawn.
        device: Where the logits are.
    """

    def __init__(
        self, limits: Sequence[Limits], uniforms: Sequence[np.ndarray], banned: Collection[int], device: torch.device
    ) -> None:
        numbers = np.zeros((len(limits), max(one.tokens for one in limits)))
        for row, own in enumerate(uniforms):
            numbers[row, : len(own)] = own
        self.uniforms = torch.from_numpy(numbers).to(device)
        self.temperature = torch.tensor([one.temperature for one in limits], device=device)[:, None]
        self.top_p = torch.tensor([one.top_p for one in limits], dtype=torch.float64, device=device)[:, None]
        self.banned = torch.tensor(sorted(banned), dtype=torch.long, device=device)
        self._look()

    def _look(self) -> None:
        """Note what all completions have in common, to skip work at every step."""
        self.greedy = self.temperature.squeeze(1) == 0
        self.any_greedy, self.all_greedy = bool(self.greedy.any()), bool(self.greedy.all())
        self.tempered = bool(((self.temperature != 1) & (self.temperature != 0)).any())
        self.truncated = bool((self.top_p < 1).any())

    def __call__(self, logits: Tensor, step: int) -> Choice:
        """Choose from `logits` `[R, V]`."""
        log_p = logits.float().log_softmax(1)
        p = log_p.exp()
        entropy = -(p * log_p).sum(1)
        token = self._greedy(log_p) if self.all_greedy else self._sampled(log_p, p, step)
        if self.any_greedy and not self.all_greedy:
            token = torch.where(self.greedy, self._greedy(log_p), token)
        return Choice(token, log_p.gather(1, token[:, None]).squeeze(1), entropy)

    def _greedy(self, log_p: Tensor) -> Tensor:
        return log_p.index_fill(1, self.banned, -torch.inf).argmax(1) if len(self.banned) else log_p.argmax(1)

    def _sampled(self, log_p: Tensor, p: Tensor, step: int) -> Tensor:
        """The token at which the cumulative distribution, banned and truncated tokens left out, passes u."""
        if self.tempered:
            p = (log_p / self.temperature.where(~self.greedy[:, None], torch.ones_like(self.temperature))).softmax(1)
        p = p.double()
        if len(self.banned):
            p = p.index_fill(1, self.banned, 0.0)
        if self.truncated:
            p = nucleus(p, self.top_p)
        below = p.cumsum(1)
        target = self.uniforms[:, step, None] * below[:, -1:]
        return torch.searchsorted(below, target, right=True).squeeze(1).clamp(max=p.shape[1] - 1)

    def keep(self, rows: Tensor) -> None:
        """Go on with these completions alone."""
        self.uniforms, self.temperature, self.top_p = self.uniforms[rows], self.temperature[rows], self.top_p[rows]
        self._look()


def nucleus(p: Tensor, top_p: Tensor) -> Tensor:
    """`[R, V]` with zero for all but the most probable tokens that together reach `top_p` `[R, 1]` of the mass."""
    ordered, index = p.sort(1, descending=True)
    before = ordered.cumsum(1) - ordered
    ordered = ordered.where(before < top_p * p.sum(1, keepdim=True), torch.zeros_like(ordered))
    return torch.zeros_like(p).scatter(1, index, ordered)
