"""The sampled-token form of on-policy distillation: policy gradient with the teacher's log-ratio as advantage.

    A_t = clamp(log nu(y_t) - log pi(y_t), -c, c), held constant;  L = -sum_t w_t A_t pi(y_t) / pi_old(y_t)

Its expected gradient is that of the reverse KL at each state (k1 estimator; methods A.5 a, b). The exact forms are
`warmrl.engine.api.Divergence`: L = sum_t w_t D(pi(.|s_t), nu(.|s_t)), and `warmrl.engine.api.TopK`.
"""

from __future__ import annotations

import torch
from torch import Tensor


def sampled_token_loss(
    logprob: Tensor, old_logprob: Tensor, teacher_logprob: Tensor, weight: Tensor, *, clamp: float
) -> Tensor:
    """The loss summed over tokens.

    Args:
        logprob: `[n]` log-probability of each sampled token under the student.
        old_logprob: `[n]` the same under the student that sampled it.
        teacher_logprob: `[n]` the same under the teacher.
        weight: `[n]` weight of each token; weights sum to 1 over an update.
        clamp: Bound on the log-ratio.
    """
    advantage = (teacher_logprob - old_logprob).clamp(-clamp, clamp).detach()
    return -(weight * advantage * torch.exp(logprob - old_logprob)).sum()
