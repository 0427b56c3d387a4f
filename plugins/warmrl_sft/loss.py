"""Negative log-likelihood, plain or weighed by probability.

    none:  L = -sum_t w_t log pi(y_t | x, y_<t)
    dft:   L = -sum_t w_t sg(pi(y_t | x, y_<t)) log pi(y_t | x, y_<t)        sg: held constant

Dynamic Fine-Tuning: Wu et al. 2025 (arXiv:2508.05629), as TRL's `loss_type = "dft"` and LLaMA-Factory have it (methods
D). Its gradient is that of -sum_t w_t pi(y_t): that of the probability, where the plain loss has the logarithm's.
"""

from typing import Literal

from torch import Tensor


def sft_loss(logprob: Tensor, weight: Tensor, weighting: Literal["none", "dft"] = "none") -> Tensor:
    """The weighted negative log-likelihood, summed over tokens.

    Args:
        logprob: `[n]` natural log-probability of each target token.
        weight: `[n]` weight of each token; they sum to 1 over an update.
        weighting: `none`, or by the token's own probability.
    """
    if weighting == "dft":
        weight = weight * logprob.detach().exp()
    return -(weight * logprob).sum()
