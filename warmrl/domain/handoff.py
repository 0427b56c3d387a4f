"""The rule by which one checkpoint of a stage is chosen to be handed on."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from warmrl.domain.config import Config

LOSS = "loss"
"""Spelled like a metric in a rule: the mean negative log-likelihood of the worked answers, in nats per token."""


class HandoffTable(Config):
    """Which checkpoint of the stage is handed on, by what the candidates do on held-out problems."""

    by: str = "pass@16"
    """What decides: a metric in its one spelling, or `loss` (mean negative log-likelihood of the problems' `solution`,
    in nats per token). The best candidate is chosen, of equals the earliest. Where neither direction is better
    (`entropy`, `diversity@8`), it is the last candidate that meets the floor."""
    on: str
    """The held-out problems: a `[suite.*]` table, or a `[data.*]` table that nothing trains on (problems for the choice
    alone: scores on the suite that chose are optimistic)."""
    at: list[int] = []
    """Steps that are candidates, besides the stage's end, which always is one."""
    every: Annotated[int | None, Field(ge=1)] = None
    """Every so many steps is a candidate as well."""
    floor: float | dict[str, float] | None = None
    """What a candidate needs at least (at most, where less is better: `loss`, `truncated`): a number for `by`, or a
    table for several metrics (`{ accuracy = 0.5, entropy = 0.18 }`). When none has it, the run stops there."""
    samples: Annotated[int, Field(ge=1)] = 16
    """Sampled answers per problem; its own number, so that measuring more later does not change the choice."""

    def floors(self) -> dict[str, float]:
        """The floor of each metric that has one."""
        return dict(self.floor) if isinstance(self.floor, dict) else {} if self.floor is None else {self.by: self.floor}

    def metrics(self) -> list[str]:
        """Everything that the rule reads, what decides first."""
        return list(dict.fromkeys([self.by, *self.floors()]))

    def sampled(self) -> list[str]:
        """What it reads of sampled or greedy answers."""
        return [one for one in self.metrics() if one != LOSS]

    def steps(self, total: int) -> list[int]:
        """The candidates before the end of a stage of `total` steps (0: not known yet)."""
        many = range(self.every, total, self.every) if self.every else ()
        return sorted({*many, *(one for one in self.at if one < total or not total)})
