"""The metric kind: the samples of one problem in, a value and its weight out. Intervals come from the engine."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Generic, Literal, TypeVar

from warmrl.domain.config import Config
from warmrl.domain.names import MetricName
from warmrl.domain.sample import Sample, Value

C = TypeVar("C", bound=Config)


class Metric(ABC, Generic[C]):
    """A pure function of one problem's samples; the score is the weighted mean over problems.

    `reads` says which samples it is given: the one `greedy` sample, or the `sampled` ones (temperature 1).
    `takes_k` says whether it is spelled with k (`pass@16`); then `self.k` is set and at least k samples are given.
    `least` is the fewest samples that it is defined for where it takes no k (agreement of two samples: 2).
    `needs` is what it reads of a sample beyond what each has (`entropy_sampling`, `nucleus`); made when it is missing.
    `higher_is_better` is None where neither direction is better (entropy, diversity).
    """

    reads: ClassVar[Literal["greedy", "sampled"]] = "sampled"
    takes_k: ClassVar[bool] = False
    least: ClassVar[int] = 1
    needs: ClassVar[frozenset[str]] = frozenset()
    unit: ClassVar[Literal["share", "nats", "count", "tokens"]] = "share"
    higher_is_better: ClassVar[bool | None] = True

    def __init__(self, config: C, name: MetricName) -> None:
        self.config = config
        self.name = name
        self.k = name.k or 1

    @abstractmethod
    def value(self, samples: Sequence[Sample]) -> Value | None:
        """The value of one problem, or None when its samples cannot say (then the problem is left out, counted)."""
