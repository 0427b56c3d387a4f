"""GRPO as a source of groups (the policy's own samples, rewarded) and a loss."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from torch import Tensor

from warmrl.api import Group, Method
from warmrl.engine.api import HeadOutput, Row, Stage, TokenLoss, group_advantages, importance_weights, score_tokens
from warmrl_grpo.config import GRPOConfig
from warmrl_grpo.loss import clipped, grpo_loss


class GRPO(Method[GRPOConfig]):
    """Samples G completions a prompt, rewards them, and follows their group-relative advantages."""

    def __init__(self, config: GRPOConfig, stage: Stage) -> None:
        super().__init__(config, stage)
        self.reference = stage.reference() if config.reference_kl else None

    def groups(self, step: int) -> list[Group]:
        """The policy's own completions with their advantages."""
        config = self.config
        groups = self.stage.sample(
            self.stage.draw(step),
            config.samples_per_prompt,
            step,
            max_tokens=config.max_tokens,
            temperature=config.temperature,
        )
        self.stage.reward(groups)
        for group in groups:
            advantages = group_advantages([one.reward for one in group.completions], scale=config.scale_advantages)
            for one, advantage in zip(group.completions, advantages, strict=True):
                one.signals["advantage"] = advantage
        if self.reference is not None:
            score_tokens(self.reference, groups, self.stage.processes, config.token_budget, "reference_logprob")
        return groups

    def informative(self, group: Group) -> bool:
        """A group of equal rewards has no advantage, so no gradient unless the reference pulls."""
        return self.config.reference_kl > 0 or any(one.signals["advantage"] for one in group.completions)

    def needs_old_logprobs(self, groups: Sequence[Group]) -> bool:
        """A sequence's importance weight is known only when all its tokens are scored, before the update."""
        apart = any("sampler_logprob" in one.signals for group in groups for one in group.completions)
        return super().needs_old_logprobs(groups) or (apart and self.config.importance == "sequence")

    def importance(self, batch: Row, old: Tensor, rows: slice = slice(None)) -> Tensor | None:
        """`[n]` importance weights of some of a row's tokens; `old` are theirs under the policy that sampled them."""
        config, sampler = self.config, batch.columns.get("sampler_logprob")
        if sampler is None or config.importance == "off":
            return None
        if config.importance == "truncated":
            return importance_weights(old, sampler[rows], cap=config.importance_cap)
        lengths = [count for _, _, count in batch.answers]
        whole = importance_weights(batch.columns["old_logprob"], sampler, cap=config.importance_cap, lengths=lengths)
        return whole[rows]

    def loss(self, batch: Row) -> TokenLoss:
        """The clipped objective; with one update per rollout the old policy is the policy itself."""
        config, columns = self.config, batch.columns
        loss = partial(
            grpo_loss,
            clip_low=config.clip_low,
            clip_high=config.clip_high,
            dual_clip=config.dual_clip,
            reference_kl=config.reference_kl,
        )

        def fn(logprob: Tensor, _entropy: Tensor, rows: slice) -> Tensor:
            old = columns["old_logprob"][rows] if "old_logprob" in columns else logprob.detach()
            reference = columns["reference_logprob"][rows] if "reference_logprob" in columns else None
            advantage, weight = columns["advantage"][rows], columns["weight"][rows]
            importance = self.importance(batch, old, rows)
            return loss(logprob, old, advantage, weight, reference_logprob=reference, importance=importance)

        return TokenLoss(fn)

    def token_metrics(self, batch: Row, output: HeadOutput) -> dict[str, float]:
        """The share of clipped tokens and the divergence to the old policy (k1), when that was scored.

        Of a sampler with weights of its own, the mean importance weight and the share of tokens whose was capped.
        """
        out: dict[str, float] = {}
        old, advantage = batch.columns.get("old_logprob", output.logprob), batch.columns["advantage"]
        if "old_logprob" in batch.columns:
            low, high = self.config.clip_low, self.config.clip_high
            share = clipped(output.logprob, old, advantage, clip_low=low, clip_high=high)
            out |= {"clipped": float(share.sum()), "old_kl": float((old - output.logprob).sum())}
        importance = self.importance(batch, old)
        if importance is not None:
            capped = importance >= self.config.importance_cap
            out |= {"importance": float(importance.sum()), "importance_capped": float(capped.sum())}
        return out

    def metrics(self, groups: Sequence[Group]) -> dict[str, float]:
        """How many groups had no signal (all rewards equal)."""
        equal = sum(not any(one.signals["advantage"] for one in group.completions) for group in groups)
        return {"groups_without_signal": equal, "groups_without_signal_share": equal / len(groups)}
