"""The clipped policy-gradient objective, which reinforcement learning and distillation by sampled tokens share.

With r_t = pi(y_t) / pi_old(y_t), A the advantage, w_t the weight and i_t the importance weight:

    L = -sum_t w_t i_t min(r_t A, clip(r_t, 1 - clip_low, 1 + clip_high) A)

and where A < 0 the min is not below dual_clip * A. Sources: Schulman et al. 2017 (PPO, arXiv:1707.06347); dual clip: Ye
et al. 2020 (arXiv:1912.09729); the geometric mean over a completion: Zheng et al. 2025 (GSPO, arXiv:2507.18071).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

# Log-ratios are clamped to this size before they are exponentiated (EasyR1, verl).
MAX_LOG_RATIO = 20.0


def ratios(logprob: Tensor, old_logprob: Tensor, lengths: Sequence[int] | None = None) -> Tensor:
    """`[n]` each token's ratio, or with `lengths` the geometric mean of the ratios of its completion."""
    log_ratio = logprob - old_logprob
    if lengths is not None:
        means = torch.stack([part.mean() for part in log_ratio.split(list(lengths))])
        log_ratio = means.repeat_interleave(torch.tensor(lengths, device=means.device))
    return torch.exp(log_ratio.clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO))


def clipped_loss(
    ratio: Tensor,
    advantage: Tensor,
    weight: Tensor,
    *,
    clip_low: float,
    clip_high: float,
    dual_clip: float = 0.0,
    importance: Tensor | None = None,
) -> Tensor:
    """The loss summed over tokens.

    Args:
        ratio: `[n]` as `ratios` gives it.
        advantage: `[n]` each token's advantage, held constant.
        weight: `[n]` its weight, normaliser included.
        clip_low: The ratio is clipped from below at 1 - clip_low.
        clip_high: The ratio is clipped from above at 1 + clip_high.
        dual_clip: Bound on the objective of negative advantages, in advantages; 0 for none.
        importance: `[n]` importance weights, held constant; None: all 1.
    """
    objective = torch.minimum(ratio * advantage, ratio.clamp(1 - clip_low, 1 + clip_high) * advantage)
    if dual_clip:
        objective = torch.where(advantage < 0, torch.maximum(objective, dual_clip * advantage), objective)
    if importance is not None:
        objective = importance * objective
    return -(weight * objective).sum()
