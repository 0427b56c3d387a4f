"""A sample: one generated answer of an evaluation, and what a metric says of a problem's samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["right", "wrong", "no answer"]


@dataclass(frozen=True)
class Sample:
    """One generated answer. Entropy and surprisal are sums over its tokens, in nats; None when not known."""

    problem: str
    index: int
    text: str
    extracted: str | None
    canonical: str | None
    verdict: Verdict
    well_formed: bool
    finish: str
    tokens: int
    entropy: float | None
    surprisal: float | None

    @property
    def right(self) -> bool:
        """Whether the answer was graded as right."""
        return self.verdict == "right"


@dataclass(frozen=True)
class Value:
    """What a metric says of one problem: a value and the weight it has in the mean over problems."""

    value: float
    weight: float = 1.0
