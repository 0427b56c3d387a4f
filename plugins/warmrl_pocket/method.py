"""The warm start `pocket_pretrain`: pretraining with a loop of its own, inside a stage."""

from __future__ import annotations

from typing import Any

from warmrl.api import Group, Method
from warmrl_pocket.config import PretrainConfig
from warmrl_pocket.pretrain import make_optimizer, pretrain


class PocketPretrain(Method[PretrainConfig]):
    """Trains the stage's policy on figures and sentences drawn as it goes; it has no groups and no packed loss.

    Every process of a run computes the same whole steps, so more of them change nothing.
    """

    def groups(self, step: int) -> list[Group]:
        """There are none."""
        raise NotImplementedError("pocket_pretrain has a loop of its own")

    def loss(self, batch: Any) -> Any:
        """There is none."""
        raise NotImplementedError("pocket_pretrain has a loop of its own")

    def run(self) -> None:
        """The phases from the newest checkpoint on."""
        stage, config = self.stage, self.config
        model = stage.policy.model
        optimizer = make_optimizer(model, config)
        first = stage.resume(optimizer, self)

        def on_step(step: int, row: dict[str, float]) -> None:
            stage.log({"step": step, **row})
            stage.border(step, optimizer, self, last=step == config.steps)

        pretrain(model, stage.policy.tokenizer, config, lambda s: stage.rng("pretrain", s), optimizer, on_step, first)
