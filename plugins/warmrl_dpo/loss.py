"""Losses of preference pairs.

With the log-ratios r+ = log pi(y+) - log ref(y+) of the chosen and r- of the rejected answer, summed over tokens:

    dpo = -log sigmoid(beta (r+ - r-))
    bco = -log sigmoid(beta r+ - delta) - log sigmoid(delta - beta r-)
    mpo = 0.8 dpo + 0.2 bco
    L   = mean over pairs of dpo (or mpo) + lambda mean NLL(y+), per token

Sources: DPO: Rafailov et al. 2023 (arXiv:2305.18290); with the likelihood: SPECS (arXiv:2510.25801, methods C.2); BCO:
Jung et al. 2024 (arXiv:2404.04656); MPO: Wang et al. 2024 (arXiv:2411.10442), weights as in TRL's documentation.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor
from torch.nn.functional import logsigmoid

# Shares of DPO and BCO in MPO.
MPO = (0.8, 0.2)


def dpo_loss(chosen: Tensor, rejected: Tensor, beta: float) -> Tensor:
    """`[P]` the logistic loss of each pair's margin, from the log-ratios `[P]` of both sides."""
    return -logsigmoid(beta * (chosen - rejected))


def bco_loss(chosen: Tensor, rejected: Tensor, beta: float, shift: float) -> Tensor:
    """`[P]` the logistic loss of each side's reward beside `shift` (delta), a good one's and a bad one's."""
    return -logsigmoid(beta * chosen - shift) - logsigmoid(shift - beta * rejected)


def pairs_loss(
    logprob: Tensor,
    reference: Tensor,
    weight: Tensor,
    nll_weight: Tensor,
    *,
    loss: Literal["dpo", "mpo"],
    beta: float,
    shift: float = 0.0,
) -> Tensor:
    """The loss summed over P pairs, chosen before rejected.

    Args:
        logprob: `[P, 2]` log-probability of each side, summed over its tokens.
        reference: `[P, 2]` the same under the reference.
        weight: `[P]` weight of each pair's preference; they sum to 1 over an update.
        nll_weight: `[P]` weight of the chosen side's summed negative log-likelihood, lambda included.
        loss: Which of the losses above.
        beta: Scale of the rewards.
        shift: BCO's delta, in rewards.
    """
    chosen, rejected = (logprob - reference).unbind(1)
    each = dpo_loss(chosen, rejected, beta)
    if loss == "mpo":
        each = MPO[0] * each + MPO[1] * bco_loss(chosen, rejected, beta, shift)
    return (weight * each).sum() - (nll_weight * logprob[:, 0]).sum()
