"""What else a scoring pass can say of each token's distribution: entropy at a temperature, size of the nucleus.

Functions of log-probabilities `[n, V]` in float32, for `head.score_tokens(extras=...)`. No gradient goes through them.
"""

from __future__ import annotations

import torch
from torch import Tensor

# The mass of the nucleus whose size is the rollout branching factor.
NUCLEUS = 0.95
# Most likely tokens that nearly every nucleus is within: those of a distribution that is wider are all sorted.
LIKELY = 1024
# Rounding of a sum of float32 probabilities over a large vocabulary; less than this of the mass may be missing.
ROUNDING = 1e-6


def entropy_at(log_p: Tensor, temperature: float) -> Tensor:
    """`[n]` exact entropies, nats, of the distributions p^(1/T) / sum p^(1/T): what is sampled from at T.

    At T = 0 (greedy) there is one outcome and the entropy is 0. Raises ValueError for T < 0 or half precision.
    """
    _refuse_half(log_p)
    if temperature < 0:
        raise ValueError(f"a temperature is not below 0; this is {temperature}")
    if temperature == 0:
        return log_p.new_zeros(len(log_p))
    scaled = (log_p / temperature).log_softmax(1)
    return torch.special.entr(scaled.exp_()).sum(1)


def nucleus_size(log_p: Tensor, mass: float = NUCLEUS) -> Tensor:
    """`[n]` sizes of the nucleus: the fewest tokens, most likely first, whose probabilities sum to `mass` or more.

    The set that top-p sampling keeps (Holtzman et al. 2020, arXiv:1904.09751). Sums are in float64, of float32
    probabilities: up to `ROUNDING` may be missing. Raises ValueError for half precision.
    """
    _refuse_half(log_p)
    few = min(LIKELY, log_p.shape[1])
    sizes = _reaching(log_p.topk(few).values, mass)
    wide = sizes > few
    if few < log_p.shape[1] and bool(wide.any()):
        sizes[wide] = _reaching(log_p[wide].sort(1, descending=True).values, mass)
    return sizes.clamp(max=log_p.shape[1]).to(log_p.dtype)


def _reaching(ordered: Tensor, mass: float) -> Tensor:
    """`[n]` how many of the log-probabilities `[n, k]`, largest first, reach `mass`; k + 1 when all do not."""
    return 1 + (ordered.exp().cumsum(1, dtype=torch.float64) < mass - ROUNDING).sum(1)


def _refuse_half(log_p: Tensor) -> None:
    """A sum over the vocabulary in bfloat16 is off by 0.06 to 0.26 nats."""
    if log_p.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"log-probabilities are reduced in float32, not in {log_p.dtype}")
