"""The clipped policy-gradient loss of GRPO.

With r_t = pi(y_t) / pi_old(y_t) and advantage A:

    L = -sum_t w_t i_t [ min(r_t A, clip(r_t, 1 - clip_low, 1 + clip_high) A) ]  + reference_kl * sum_t w_t k3_t
    k3_t = exp(log ref_t - log pi_t) - (log ref_t - log pi_t) - 1

and where A < 0 the bracket is not below dual_clip * A. The importance weight i_t (`importance_weights`) is 1 where a
policy samples for itself. Log-probabilities are at temperature 1, whatever the rollouts' temperature. Sources: Shao et
al. 2024 (arXiv:2402.03300); clip-higher: Yu et al. 2025 (DAPO, arXiv:2503.14476); dual clip: Ye et al. 2020
(arXiv:1912.09729); k3: Schulman 2020.
"""

from __future__ import annotations

import torch
from torch import Tensor

# Log-ratios are clamped to this size before they are exponentiated (EasyR1).
MAX_LOG_RATIO = 20.0


def grpo_loss(
    logprob: Tensor,
    old_logprob: Tensor,
    advantage: Tensor,
    weight: Tensor,
    *,
    clip_low: float,
    clip_high: float,
    dual_clip: float | None = None,
    reference_logprob: Tensor | None = None,
    reference_kl: float = 0.0,
    importance: Tensor | None = None,
) -> Tensor:
    """The loss summed over tokens.

    Args:
        logprob: `[n]` log-probability of each sampled token under the policy.
        old_logprob: `[n]` the same under the policy that sampled it (the policy itself, detached, for one update).
        advantage: `[n]` its completion's advantage.
        weight: `[n]` its weight; weights sum to 1 over an update.
        clip_low: The ratio is clipped from below at 1 - clip_low.
        clip_high: The ratio is clipped from above at 1 + clip_high.
        dual_clip: Bound on the objective of negative advantages, in advantages; None for none.
        reference_logprob: `[n]` log-probability under the reference; needed when `reference_kl` > 0.
        reference_kl: Weight of the k3 divergence to the reference.
        importance: `[n]` importance weights, held constant; None: all 1.
    """
    ratio = torch.exp((logprob - old_logprob).clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO))
    objective = torch.minimum(ratio * advantage, ratio.clamp(1 - clip_low, 1 + clip_high) * advantage)
    if dual_clip is not None:
        objective = torch.where(advantage < 0, torch.maximum(objective, dual_clip * advantage), objective)
    if importance is not None:
        objective = importance * objective
    loss = -(weight * objective).sum()
    if reference_kl and reference_logprob is not None:
        gap = (reference_logprob - logprob).clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO)
        loss = loss + reference_kl * (weight * (torch.exp(gap) - gap - 1)).sum()
    return loss


def clipped(logprob: Tensor, old_logprob: Tensor, advantage: Tensor, *, clip_low: float, clip_high: float) -> Tensor:
    """`[n]` whether clipping takes the gradient of each token."""
    ratio = torch.exp(logprob - old_logprob)
    return ((ratio < 1 - clip_low) & (advantage < 0)) | ((ratio > 1 + clip_high) & (advantage > 0))
