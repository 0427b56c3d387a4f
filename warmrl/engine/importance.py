"""Importance weights for samples of a sampler that is not quite the policy.

With pi_old the policy when it sampled, as the trainer computes it, mu the same as the sampler computed it, c the cap:

    token:     w_t = min(pi_old(y_t) / mu(y_t), c)
    sequence:  w   = min(prod_t pi_old(y_t) / mu(y_t), c), for every token of the completion

Both at temperature 1 with nothing left out, whatever the rollouts' temperature and top-p (`Completion.logprobs`): the
weight is 1 where the two agree, and mends precision, kernels and stale weights, not a temperature. Sources: truncated
importance sampling: Yao et al. 2025, "Your efficient RL framework secretly brings you off-policy RL training"; TRL's
`vllm_importance_sampling_mode`, `token_truncate` and `sequence_truncate`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from warmrl.engine.objective import MAX_LOG_RATIO


def importance_weights(
    old_logprob: Tensor, sampler_logprob: Tensor, *, cap: float, lengths: Sequence[int] | None = None
) -> Tensor:
    """`[n]` the weight of each token, without gradient.

    Args:
        old_logprob: `[n]` log pi_old of each sampled token.
        sampler_logprob: `[n]` log mu of the same.
        cap: The largest weight.
        lengths: How many of the tokens each completion has, in order, for weights of sequences; None: of tokens.
    """
    log_ratio = (old_logprob - sampler_logprob).detach()
    if lengths is not None:
        sums = torch.stack([part.sum() for part in log_ratio.split(list(lengths))])
        log_ratio = sums.repeat_interleave(torch.tensor(lengths, device=sums.device))
    return log_ratio.clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO).exp().clamp(max=cap)
