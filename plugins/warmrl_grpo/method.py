"""GRPO and its variants as a source of groups (the policy's own samples, rewarded) and a loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from torch import Tensor

from warmrl.api import Group, Method
from warmrl.engine.api import (
    HeadOutput,
    Row,
    SequenceLoss,
    Stage,
    TokenLoss,
    group_advantages,
    importance_weights,
    ratios,
    score_tokens,
)  # fmt: skip
from warmrl_grpo.config import GRPOConfig
from warmrl_grpo.loss import cispo_loss, clipped, grpo_loss
from warmrl_grpo.reference import adapted, k3


class GRPO(Method[GRPOConfig]):
    """Samples G completions a prompt, rewards them, and follows their group-relative advantages."""

    def __init__(self, config: GRPOConfig, stage: Stage) -> None:
        super().__init__(config, stage)
        self.reference = stage.reference() if config.reference_kl else None
        self.reference_kl = config.reference_kl
        self.seen = {"k3": 0.0, "tokens": 0.0}  # in this step, by this process
        self.draws = 0  # of prompts, in all steps before this one
        self.drawn: list[Group] = []  # in this step, and of them
        self.unused: list[Group] = []

    def groups(self, step: int) -> list[Group]:
        """The policy's own completions with their advantages, and what the reference says of them."""
        groups = self.resampled() if self.config.resample else self.rollout(step)
        if self.reference is not None:
            processes, budget = self.stage.processes, self.config.token_budget
            score_tokens(self.reference, groups, processes, budget, "reference_logprob")
        return groups

    def rollout(self, draw: int) -> list[Group]:
        """Completions of the prompts of one draw, rewarded, with their advantages."""
        config = self.config
        groups = self.stage.sample(
            self.stage.draw(draw),
            config.samples_per_prompt,
            draw,
            max_tokens=config.max_tokens,
            temperature=config.temperature,
        )
        self.stage.reward(groups)
        for group in groups:
            advantages = group_advantages([one.reward for one in group.completions], scale=config.scale_advantages)
            for one, advantage in zip(group.completions, advantages, strict=True):
                one.signals["advantage"] = advantage
        return groups

    def resampled(self) -> list[Group]:
        """A step's groups out of several draws: those with a signal before the others, as many as are asked for."""
        count, drawn = self.config.prompts_per_step, list[Group]()
        for draw in range(self.draws, self.draws + 1 + self.config.resample):
            drawn += self.rollout(draw)
            if sum(map(has_signal, drawn)) >= count:
                break
        first = set(sorted(range(len(drawn)), key=lambda at: not has_signal(drawn[at]))[:count])
        self.drawn, self.unused = drawn, [group for at, group in enumerate(drawn) if at not in first]
        return [drawn[at] for at in sorted(first)]

    def left_out(self) -> Sequence[Group]:
        """Of several draws, the groups that are not trained on."""
        return self.unused

    def informative(self, group: Group) -> bool:
        """A group of equal rewards has no advantage, so no gradient unless reference or entropy give one."""
        return self.config.reference_kl > 0 or self.config.entropy_bonus > 0 or has_signal(group)

    def needs_old_logprobs(self, groups: Sequence[Group]) -> bool:
        """A sequence's importance weight is known only when all its tokens are scored, before the update."""
        apart = any("sampler_logprob" in one.signals for group in groups for one in group.completions)
        return super().needs_old_logprobs(groups) or (apart and self.config.importance == "sequence")

    def loss(self, batch: Row) -> TokenLoss | SequenceLoss:
        """The loss of a row; with one update per rollout the old policy is the policy itself."""
        if self.config.loss == "gspo":  # a completion's tokens are in one row, and its ratio is of all of them
            return SequenceLoss(lambda logprob, entropy: self.total(batch, logprob, entropy, slice(None)))
        return TokenLoss(lambda logprob, entropy, rows: self.total(batch, logprob, entropy, rows))

    def total(self, batch: Row, logprob: Tensor, entropy: Tensor, rows: slice) -> Tensor:
        """The loss of some of a row's tokens: the policy's, the reference's and the entropy's part."""
        config, columns = self.config, {name: column[rows] for name, column in batch.columns.items()}
        old = columns.get("old_logprob", logprob.detach())
        of_tokens = logprob, old, columns["advantage"], columns["weight"]
        how: dict[str, Any] = {"clip_low": config.clip_low, "clip_high": config.clip_high}
        how["importance"] = self.importance(batch, old, rows)
        if config.loss == "cispo":
            loss = cispo_loss(*of_tokens, **how)
        else:
            loss = grpo_loss(*of_tokens, **how, dual_clip=config.dual_clip, lengths=self.ratio_lengths(batch))
        if self.reference is not None:
            loss = loss + self.reference_kl * (columns["weight"] * k3(logprob, columns["reference_logprob"])).sum()
        if config.entropy_bonus:
            loss = loss - config.entropy_bonus * (columns["token_weight"] * entropy).sum()
        return loss

    def ratio_lengths(self, batch: Row) -> list[int] | None:
        """The lengths of a row's completions where ratios are theirs; None where each token has its own."""
        return lengths(batch) if self.config.loss == "gspo" else None

    def importance(self, batch: Row, old: Tensor, rows: slice = slice(None)) -> Tensor | None:
        """`[n]` importance weights of some of a row's tokens; `old` are theirs under the policy that sampled them."""
        config, sampler = self.config, batch.columns.get("sampler_logprob")
        if sampler is None or config.importance == "off":
            return None
        if config.importance == "truncated":
            return importance_weights(old, sampler[rows], cap=config.importance_cap)
        before, cap = batch.columns["old_logprob"], config.importance_cap
        return importance_weights(before, sampler, cap=cap, lengths=lengths(batch))[rows]

    def token_metrics(self, batch: Row, output: HeadOutput) -> dict[str, float]:
        """The share of clipped tokens and the divergence to the old policy (k1), when that was scored.

        With a reference the divergence to it (k3); of a sampler with weights of its own, the mean importance weight
        and the share of tokens whose was capped.
        """
        config, out = self.config, dict[str, float]()
        old, advantage = batch.columns.get("old_logprob", output.logprob), batch.columns["advantage"]
        if "old_logprob" in batch.columns:
            ratio = ratios(output.logprob, old, self.ratio_lengths(batch))
            sign = None if config.loss == "cispo" else advantage
            share = clipped(ratio, sign, clip_low=config.clip_low, clip_high=config.clip_high)
            out |= {"clipped": float(share.sum()), "old_kl": float((old - output.logprob).sum())}
        if self.reference is not None:
            out["reference_k3"] = float(k3(output.logprob, batch.columns["reference_logprob"]).double().sum())
            self.seen["k3"] += out["reference_k3"]
            self.seen["tokens"] += len(output.logprob)
        importance = self.importance(batch, old)
        if importance is not None:
            capped = importance >= config.importance_cap
            out |= {"importance": float(importance.sum()), "importance_capped": float(capped.sum())}
        return out

    def metrics(self, groups: Sequence[Group]) -> dict[str, float]:
        """How many groups had no signal (all rewards equal), the coefficient of the reference, and what was drawn."""
        equal = sum(not has_signal(group) for group in groups)
        out = {"groups_without_signal": equal, "groups_without_signal_share": equal / len(groups)}
        if self.config.kl_target is not None:
            out["kl_coefficient"] = self.reference_kl
        if self.config.resample:
            silent = sum(not has_signal(group) for group in self.drawn)
            reward = fmean(one.reward for group in self.drawn for one in group.completions)
            out |= {"drawn": len(self.drawn), "drawn_without_signal": silent, "drawn_reward": reward}
        return out

    def after_step(self, step: int) -> bool:
        """Move the coefficient of the reference as its target says, and the next draw past those of this step."""
        config = self.config
        self.draws += len(self.drawn) // config.prompts_per_step
        if config.kl_target is not None:
            seen = self.stage.processes.sums(self.seen)
            found, completions = seen["k3"] / seen["tokens"], config.prompts_per_step * config.samples_per_prompt
            how = {"target": config.kl_target, "horizon": config.kl_horizon}
            self.reference_kl = adapted(self.reference_kl, found, completions=completions, **how)
        self.seen = {"k3": 0.0, "tokens": 0.0}
        return False

    def state(self) -> Mapping[str, Any]:
        """Where the next draw of prompts is, and the coefficient of the reference."""
        return {"draws": self.draws, "reference_kl": self.reference_kl}

    def load(self, state: Mapping[str, Any]) -> None:
        """Take them back."""
        self.draws = state.get("draws", self.draws)
        self.reference_kl = state.get("reference_kl", self.reference_kl)


def has_signal(group: Group) -> bool:
    """Whether the rewards of a group differ, so that it has advantages."""
    return any(one.signals["advantage"] for one in group.completions)


def lengths(batch: Row) -> list[int]:
    """How many of a row's tokens each completion has, in order."""
    return [count for _, _, count in batch.answers]
