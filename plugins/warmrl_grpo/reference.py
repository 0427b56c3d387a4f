"""The pull towards the reference, and the controller of its coefficient.

    k3_t = exp(log ref_t - log pi_t) - (log ref_t - log pi_t) - 1
    coefficient <- coefficient * (1 + clip(KL / target - 1, -0.2, 0.2) * min(n / horizon, 1))

KL is the mean of k3 over the trained tokens of a step and n its completions. Sources: Schulman 2020, "Approximating KL
divergence"; Ziegler et al. 2019 (arXiv:1909.08593, section 2.2), with the horizon in samples as in OpenRLHF and verl.
"""

from __future__ import annotations

import torch
from torch import Tensor

from warmrl.engine.api import MAX_LOG_RATIO

# The error that the controller reacts to is at most this share of the target.
MAX_ERROR = 0.2


def k3(logprob: Tensor, reference_logprob: Tensor) -> Tensor:
    """`[n]` the k3 estimate of KL(policy || reference) at each sampled token, never negative."""
    gap = (reference_logprob - logprob).clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO)
    return torch.exp(gap) - gap - 1


def adapted(coefficient: float, divergence: float, *, target: float, horizon: float, completions: int) -> float:
    """The coefficient after a step of so many completions whose divergence was `divergence` (nats per token)."""
    error = min(max(divergence / target - 1, -MAX_ERROR), MAX_ERROR)
    return coefficient * (1 + error * min(completions / horizon, 1.0))
