"""Negative log-likelihood: L = -sum_t w_t log pi(y_t | x, y_<t)."""

from torch import Tensor


def sft_loss(logprob: Tensor, weight: Tensor) -> Tensor:
    """The weighted negative log-likelihood, summed over tokens.

    Args:
        logprob: `[n]` natural log-probability of each target token.
        weight: `[n]` weight of each token; they sum to 1 over an update.
    """
    return -(weight * logprob).sum()
