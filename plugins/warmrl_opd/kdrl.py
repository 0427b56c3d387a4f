"""KDRL: GRPO's policy loss and a divergence to the teacher on the same completions (Xu et al. 2025, arXiv:2506.02208).

    L = L_policy(A) + teacher_weight * sum_t w_t D(pi(.|s_t), nu(.|s_t))

with group-relative advantages A. The sum is verl's, L_policy + coef * L_distill (methods A.5a); D is exact here (or
over a top-k and a tail, or the `sampled` form), where the paper estimates the reverse KL by its sampled tokens.
"""

from __future__ import annotations

from torch import Tensor

from warmrl.api import Group
from warmrl.engine.api import Divergence, Row, TokenLoss, TopK, group_advantages
from warmrl_opd.config import KDRLConfig
from warmrl_opd.method import OPD


class KDRL(OPD[KDRLConfig]):
    """On-policy distillation whose samples are rewarded, too."""

    def groups(self, step: int) -> list[Group]:
        """The step's completions with what the teacher says, rewards and advantages."""
        groups = super().groups(step)
        self.stage.reward(groups)
        for group in groups:
            rewards = [one.reward for one in group.completions]
            for one, advantage in zip(
                group.completions, group_advantages(rewards, scale=self.config.scale_advantages), strict=True
            ):
                one.signals["advantage"] = advantage
        return groups

    def loss(self, batch: Row) -> Divergence | TopK | TokenLoss:
        """Both; on completions that the teacher wrote the divergence alone, for they say nothing of the policy."""
        columns = batch.columns
        if self.by_teacher:
            return super().loss(batch)

        def fn(logprob: Tensor, _entropy: Tensor, rows: slice) -> Tensor:
            return self.policy_gradient(batch, logprob, columns["advantage"][rows], columns["weight"][rows], rows)

        return self.to_teacher(batch, self.config.teacher_weight * columns["weight"], also=TokenLoss(fn))
