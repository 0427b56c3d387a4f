"""DPO as a source of groups (the two sides of a pair) and a loss over whole pairs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from warmrl.api import DataError, Group, Method, Problem
from warmrl.engine.api import HeadOutput, Row, SequenceLoss, Stage, TokenLoss, score_tokens
from warmrl_dpo.config import DPOConfig
from warmrl_dpo.loss import pairs_loss

Score = tuple[int, int, int, int, float, float]


class DPO(Method[DPOConfig]):
    """Trains each problem's `solution` up and its `rejected` down, relative to the policy that the stage starts from.

    A pair is one group of two in one row, its prompt and images computed once. Where completions cannot share their
    prompt the sides are rows of their own, perhaps in different processes: a pass before each update scores them, and
    the update trains on the tokens' loss with the same value and gradient.
    """

    def __init__(self, config: DPOConfig, stage: Stage) -> None:
        super().__init__(config, stage)
        check_pairs(stage)
        self.pairs = short_enough(stage, config.max_length)
        self.reference: dict[int, tuple[float, float]] = {}
        self.started = False
        self.updates, self.scores, self.found = 0, list[Score](), list[Score]()
        self.shift, self.rewards_seen = 0.0, 0

    def total_steps(self) -> int:
        """`steps`, or what `epochs` makes of the pairs."""
        return self.config.steps or max(
            1, math.ceil(self.config.epochs * len(self.pairs) / self.config.prompts_per_step)
        )

    def prepare(self) -> None:
        """The reference's log-probabilities of all pairs that will be drawn; kept in the stage's folder by block."""
        steps = range(self.total_steps())
        drawn = {id(pair): pair for step in steps for pair in self.stage.draw(step, self.pairs)}
        rows = self.stage.in_blocks(self.reference_rows, list(drawn.values()))
        self.reference = {one: (row["chosen"], row["rejected"]) for one, row in zip(drawn, rows, strict=True)}

    def reference_rows(self, pairs: Sequence[Problem]) -> list[dict[str, Any]]:
        """What the policy that the stage starts from says of both sides: natural log-probabilities, summed.

        Until the first update that is the policy itself: no second one is loaded, and margins begin at 0 exactly.
        """
        policy = self.stage.reference() if self.started else self.stage.policy
        groups = [self.stage.given(pair, pair.solution, pair.rejected) for pair in pairs]
        sums = self.summed(policy, groups)
        return [{"id": pair.id, "chosen": a, "rejected": b} for pair, (a, b) in zip(pairs, sums.tolist(), strict=True)]

    def summed(self, policy: Any, groups: Sequence[Group]) -> Tensor:
        """`[P, 2]` the log-probability of each side under a policy, float64, the same in every process."""
        score_tokens(policy, groups, self.stage.processes, self.config.token_budget, "scored")
        sums = [[one.signals.pop("scored").double().sum() for one in group.completions] for group in groups]
        return torch.tensor(sums, dtype=torch.float64)

    def groups(self, step: int) -> list[Group]:
        """This step's pairs, chosen before rejected."""
        return [self.pair(problem) for problem in self.stage.draw(step, self.pairs)]

    def pair(self, problem: Problem) -> Group:
        """A pair, with what the reference says of it."""
        group = self.stage.given(problem, problem.solution, problem.rejected)
        for one, logprob in zip(group.completions, self.reference[id(problem)], strict=True):
            one.signals["reference_logprob"] = torch.full((len(one.tokens),), logprob, dtype=torch.float64)
        return group

    def before_update(self, groups: Sequence[Group]) -> None:
        """Weights of pairs and of chosen tokens; for sides in rows of their own, their slopes."""
        config, count = self.config, len(groups)
        self.updates += 1
        tokens = sum(group.completions[0].trained_tokens for group in groups)
        for group in groups:
            chosen, rejected = group.completions
            over = count * chosen.trained_tokens if config.normalise == "sequence" else tokens
            chosen.signals["nll_weight"], rejected.signals["nll_weight"] = config.nll_weight / over, 0.0
            chosen.signals["pair_weight"] = rejected.signals["pair_weight"] = 1 / count
        if not self.stage.policy.packed.share:
            self.linearise(groups)

    def linearise(self, groups: Sequence[Group]) -> None:
        """Write the loss at the policy as it is, in equal parts, and its slope by each token's log-probability."""
        logprob = self.summed(self.stage.policy, groups).requires_grad_()
        sides = [[one.signals for one in group.completions] for group in groups]
        reference = torch.stack([torch.stack([one["reference_logprob"][0] for one in two]) for two in sides])
        weights = (torch.tensor([two[0][name] for two in sides]) for name in ("pair_weight", "nll_weight"))
        value = self.of_pairs(logprob, reference, *weights)
        (slopes,) = torch.autograd.grad(value, logprob)
        for group, two in zip(groups, slopes.tolist(), strict=True):
            for one, slope in zip(group.completions, two, strict=True):
                one.signals["slope"] = slope
                one.signals["value"] = float(value.detach()) / logprob.numel() / one.trained_tokens

    def of_pairs(self, logprob: Tensor, reference: Tensor, weight: Tensor, nll_weight: Tensor) -> Tensor:
        """`pairs_loss` with the stage's settings, and the shift as it is."""
        config = self.config
        return pairs_loss(logprob, reference, weight, nll_weight, loss=config.loss, beta=config.beta, shift=self.shift)

    def needs_old_logprobs(self, groups: Sequence[Group]) -> bool:
        """Pairs are given, not sampled: however many updates a step has, there is no older policy."""
        return False

    def loss(self, batch: Row) -> SequenceLoss | TokenLoss:
        """The loss of the row's pairs, or of its tokens where sides are apart."""
        columns = batch.columns
        if "slope" in columns:
            value, slope = columns["value"], columns["slope"]
            return TokenLoss(lambda now, _, rows: (value[rows] + slope[rows] * (now - now.detach())).sum())
        lengths, first = layout(batch)
        reference = columns["reference_logprob"][first].view(-1, 2)
        weights = [columns[name][first].view(-1, 2)[:, 0] for name in ("pair_weight", "nll_weight")]

        def fn(logprob: Tensor, _entropy: Tensor) -> Tensor:
            sums = torch.stack([side.sum() for side in logprob.double().split(lengths)]).view(-1, 2)
            return self.of_pairs(sums, reference, *weights).to(logprob.dtype)

        return SequenceLoss(fn)

    def token_metrics(self, batch: Row, output: HeadOutput) -> dict[str, float]:
        """Nothing by token: keeps each side's log-probability for `metrics`."""
        lengths, first = layout(batch)
        sums = torch.stack([side.sum() for side in output.logprob.double().split(lengths)])
        table = torch.stack([sums, batch.columns["reference_logprob"][first]], 1).tolist()
        self.scores += [(self.updates, *one, *two) for one, two in zip(batch.answers, table, strict=True)]
        return {}

    def metrics(self, groups: Sequence[Group]) -> dict[str, float]:
        """Means over the step's pairs: rewards beta (log pi - log ref), their margin, how often it is above 0,
        summed log-probabilities, and the chosen side's negative log-likelihood per token.
        """
        self.found, self.scores = sorted(self.stage.processes.gather(self.scores)), []
        rewards, count = self.rewards(), len(self.found) // 2
        margins = [chosen - rejected for chosen, rejected in zip(rewards[::2], rewards[1::2], strict=True)]
        logprobs = [score[4] for score in self.found]
        out = {"rewards/chosen": rewards[::2], "rewards/rejected": rewards[1::2], "rewards/margin": margins}
        out |= {"rewards/accuracy": [float(margin > 0) for margin in margins]}
        out |= {"logprobs/chosen": logprobs[::2], "logprobs/rejected": logprobs[1::2]}
        out |= {"nll": [-score[4] / score[3] for score in self.found[::2]]}
        shift = {"reward_shift": self.shift} if self.config.loss == "mpo" else {}
        return {name: math.fsum(values) / count for name, values in out.items()} | shift

    def rewards(self) -> list[float]:
        """The step's rewards, chosen and rejected in turn."""
        return [self.config.beta * (logprob - reference) for *_, logprob, reference in self.found]

    def after_step(self, step: int) -> bool:
        """Take the step's rewards into their running mean."""
        if self.config.loss == "mpo" and self.config.reward_shift:
            rewards = self.rewards()
            self.rewards_seen += len(rewards)
            self.shift += math.fsum(reward - self.shift for reward in rewards) / self.rewards_seen
        return False

    def state(self) -> Mapping[str, Any]:
        """The running mean of rewards."""
        return {"shift": self.shift, "rewards_seen": self.rewards_seen}

    def load(self, state: Mapping[str, Any]) -> None:
        """Take the running mean back; the policy is no longer the reference."""
        self.shift, self.rewards_seen = state["shift"], state["rewards_seen"]
        self.started = True


def layout(batch: Row) -> tuple[list[int], Tensor]:
    """How many scored tokens each side in a row has, and where its first one is."""
    lengths = [count for _, _, count in batch.answers]
    return lengths, torch.tensor([0, *lengths[:-1]], device=batch.targets.device).cumsum(0)


def check_pairs(stage: Stage) -> None:
    """Raise `DataError` for problems that are no pair of two different answers."""
    lone = [one.id for one in stage.problems if one.solution is None or one.rejected is None]
    if lone:
        raise DataError(
            f"`stage.{stage.name}` trains on preference pairs, and {len(lone)} of {len(stage.problems)} problems are "
            f"none (first: `{lone[0]}`); make pairs with the curator `self_distill`, or give data of the dataset "
            f"`files` the columns `chosen` and `rejected`."
        )
    same = [one.id for one in stage.problems if one.solution == one.rejected]
    if same:
        raise DataError(
            f"`stage.{stage.name}` has {len(same)} pairs whose two sides are the same (first: `{same[0]}`): nothing "
            f"can be preferred. Leave them out of the data."
        )


def short_enough(stage: Stage, longest: int | None) -> list[Problem]:
    """The pairs of at most so many tokens; the number of others is a finding. Raises `DataError` when none is left."""
    if longest is None:
        return list(stage.problems)
    kept = []
    for pair in stage.problems:
        group = stage.given(pair, pair.solution or "", pair.rejected or "")
        prompt = len(stage.policy.encode_prompt(group.views[0]).ids)
        if prompt + max(len(one.tokens) for one in group.completions) <= longest:
            kept.append(pair)
    if not kept:
        raise DataError(
            f"`stage.{stage.name}.max_length` is {longest} tokens, and all {len(stage.problems)} pairs are longer; "
            f"raise it, or leave it away: nothing has to be cut."
        )
    if len(kept) < len(stage.problems):
        left_out = len(stage.problems) - len(kept)
        stage.findings.append(
            f"{left_out} of {len(stage.problems)} pairs are longer than `max_length` ({longest} tokens) and left out."
        )
    return kept
