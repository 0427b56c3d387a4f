"""Canned lengths for `generate`: random weights say nothing of when to stop."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class Lengths:
    """A logits processor: row r ends at its own length, and not before."""

    def __init__(self, lengths: Sequence[int], end: int) -> None:
        self.lengths, self.end = torch.tensor(lengths), end
        self.step = 0

    def __call__(self, _ids: Tensor, logits: Tensor) -> Tensor:
        self.step += 1
        logits[:, self.end] = torch.where(self.lengths.to(logits.device) <= self.step, 1e9, -1e9)
        return logits
