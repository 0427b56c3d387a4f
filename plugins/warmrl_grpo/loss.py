"""The policy-gradient losses of GRPO and its variants.

With r_t = pi(y_t) / pi_old(y_t), A the advantage, w_t the weight (the normaliser), sg what has no gradient:

    grpo, dapo, dr_grpo:  L = -sum_t w_t i_t min(r_t A, clip(r_t) A)
    gspo:                 the same, r_t the geometric mean of the ratios of its completion's |y| trained tokens,
                          s = (pi(y) / pi_old(y))^(1 / |y|)
    cispo:                L = -sum_t w_t i_t sg(clip(r_t)) A log pi(y_t)

clip(r) is r between 1 - clip_low and 1 + clip_high, and where A < 0 the min is not below dual_clip * A. `dapo` and
`dr_grpo` differ from `grpo` in their settings alone (`config.py`). The weight i_t (`importance_weights`) is 1
where a policy samples for itself. Log-probabilities are at temperature 1, whatever the rollouts' temperature.

Sources: Shao et al. 2024 (arXiv:2402.03300); clip-higher: Yu et al. 2025 (DAPO, arXiv:2503.14476); dual clip: Ye et
al. 2020 (arXiv:1912.09729); Liu et al. 2025 (Dr. GRPO, arXiv:2503.20783); Zheng et al. 2025 (GSPO, arXiv:2507.18071,
equations 5 and 7); MiniMax 2025 (CISPO, arXiv:2506.13585, equation 4).
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from warmrl.engine.api import clipped_loss, ratios


def grpo_loss(
    logprob: Tensor,
    old_logprob: Tensor,
    advantage: Tensor,
    weight: Tensor,
    *,
    clip_low: float,
    clip_high: float,
    dual_clip: float = 0.0,
    importance: Tensor | None = None,
    lengths: Sequence[int] | None = None,
) -> Tensor:
    """The loss of `grpo`, `dapo`, `dr_grpo` and (with `lengths`) `gspo`, summed over tokens.

    Args:
        logprob: `[n]` log-probability of each sampled token under the policy.
        old_logprob: `[n]` the same under the policy that sampled it (the policy itself, detached, for one update).
        advantage: `[n]` its completion's advantage.
        weight: `[n]` its weight, as the stage's `normalise` says.
        clip_low: The ratio is clipped from below at 1 - clip_low.
        clip_high: The ratio is clipped from above at 1 + clip_high.
        dual_clip: Bound on the objective of negative advantages, in advantages; 0 for none.
        importance: `[n]` importance weights, held constant; None: all 1.
        lengths: How many of the tokens each completion has, in order, for ratios of sequences; None: of tokens.
    """
    how = {"clip_low": clip_low, "clip_high": clip_high, "dual_clip": dual_clip}
    return clipped_loss(ratios(logprob, old_logprob, lengths), advantage, weight, importance=importance, **how)


def cispo_loss(
    logprob: Tensor,
    old_logprob: Tensor,
    advantage: Tensor,
    weight: Tensor,
    *,
    clip_low: float,
    clip_high: float,
    importance: Tensor | None = None,
) -> Tensor:
    """The loss of `cispo`, summed over tokens; arguments as for `grpo_loss`. Every token keeps a gradient."""
    clipped_ratio = ratios(logprob.detach(), old_logprob).clamp(1 - clip_low, 1 + clip_high)
    objective = clipped_ratio * advantage * logprob
    if importance is not None:
        objective = importance * objective
    return -(weight * objective).sum()


def clipped(ratio: Tensor, advantage: Tensor | None, *, clip_low: float, clip_high: float) -> Tensor:
    """`[n]` whether clipping takes the gradient of each token; without an advantage, whether it changes its weight."""
    low, high = ratio < 1 - clip_low, ratio > 1 + clip_high
    return low | high if advantage is None else (low & (advantage < 0)) | (high & (advantage > 0))
