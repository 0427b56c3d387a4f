"""SFT as a source of groups (one given completion each) and a loss, with early stopping on held-out problems."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from warmrl.api import DataError, Group, Method, Problem
from warmrl.engine.api import Row, Stage, TokenLoss, generator, score_tokens
from warmrl_sft.config import SFTConfig
from warmrl_sft.loss import sft_loss


class SFT(Method[SFTConfig]):
    """Trains on each problem's `solution`. The best held-out policy is part of the state while stopping early."""

    def __init__(self, config: SFTConfig, stage: Stage) -> None:
        super().__init__(config, stage)
        unsolved = [problem.id for problem in stage.problems if problem.solution is None]
        if unsolved:
            raise DataError(
                f"`stage.{stage.name}` trains on worked answers, and {len(unsolved)} problems have none (first: "
                f"`{unsolved[0]}`); give the data a `solution` column, or make one with the curator `traces`."
            )
        self.training, self.held_out = split(stage.problems, config.hold_out, stage.seed)
        self.best_loss = math.inf
        self.looks_since_best = 0
        self.best: dict[str, torch.Tensor] = {}

    def total_steps(self) -> int:
        """`steps`, or what `epochs` makes of the data."""
        per_epoch = len(self.training) / self.config.prompts_per_step
        return self.config.steps or max(1, math.ceil(self.config.epochs * per_epoch))

    def groups(self, step: int) -> list[Group]:
        """The worked answers of this step's problems."""
        return [self.stage.given(problem, problem.solution) for problem in self.stage.draw(step, self.training)]

    def loss(self, batch: Row) -> TokenLoss:
        """Negative log-likelihood, as `weighting` says."""
        weight, weighting = batch.columns["weight"], self.config.weighting
        return TokenLoss(lambda logprob, _entropy, rows: sft_loss(logprob, weight[rows], weighting))

    def after_step(self, step: int) -> bool:
        """Look at the held-out problems when it is time; True when they have stopped getting better."""
        last = step + 1 == self.total_steps()
        if not self.held_out or ((step + 1) % self.config.check_every and not last):
            return False
        loss = self.held_out_loss()
        self.looks_since_best += 1
        if loss < self.best_loss:
            self.best = self.stage.policy.snapshot()
            self.best_loss, self.looks_since_best = loss, 0
        done = last or self.looks_since_best >= self.config.patience
        if done:
            self.stage.policy.restore(self.best)
        return done

    def held_out_loss(self) -> float:
        """Mean negative log-likelihood over the held-out tokens, in nats."""
        groups = [self.stage.given(problem, problem.solution) for problem in self.held_out]
        score_tokens(self.stage.policy, groups, self.stage.processes, self.config.token_budget, "logprob")
        scored = [group.completions[0].signals.pop("logprob") for group in groups]
        return -float(torch.cat(scored).double().mean())

    def metrics(self, groups: Sequence[Group]) -> dict[str, float]:
        """The best held-out loss so far."""
        return {"held_out_loss": self.best_loss} if self.best else {}

    def state(self) -> Mapping[str, Any]:
        """Early stopping's memory."""
        if not self.best:
            return {}
        best = {f"best.{name}": value for name, value in self.best.items()}
        return {"best_loss": self.best_loss, "looks_since_best": self.looks_since_best, **best}

    def load(self, state: Mapping[str, Any]) -> None:
        """Take early stopping's memory back."""
        self.best = {name.removeprefix("best."): value for name, value in state.items() if name.startswith("best.")}
        self.best_loss = state.get("best_loss", math.inf)
        self.looks_since_best = state.get("looks_since_best", 0)


def split(problems: Sequence[Problem], share: float, seed: int) -> tuple[list[Problem], list[Problem]]:
    """Training and held-out problems; the draw depends on the seed alone."""
    count = round(len(problems) * share)
    if share and not 0 < count < len(problems):
        raise DataError(
            f"`hold_out` is {share} of {len(problems)} problems, which leaves {count} to look at and "
            f"{len(problems) - count} to train on; give more data, or another share."
        )
    out = set(generator(seed, "hold out").permutation(len(problems))[:count].tolist())
    return [p for i, p in enumerate(problems) if i not in out], [p for i, p in enumerate(problems) if i in out]
