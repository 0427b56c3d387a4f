"""A sample: one generated answer of an evaluation, what a grader says of it, and what a metric says of several."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Verdict = Literal["right", "wrong", "no answer", "timed out"]


@dataclass(frozen=True)
class Grade:
    """What a grader says of one completion.

    `score` is in the grader's declared range, 1 for a right answer (a benchmark's partial credit lies between).
    `extracted` is the answer as it stands in the completion, `canonical` the form under which equal answers are the
    same text; both None where there is none. `parts` are named contributions, if the score has several.
    """

    score: float
    extracted: str | None
    canonical: str | None
    verdict: Verdict
    parts: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Sample:
    """One generated answer. `entropy` (at temperature 1), `entropy_sampling` (at the sampling temperature) and
    `surprisal` are sums over its tokens, in nats, `nucleus` the summed sizes of the top-p 0.95 nucleus; None when not
    known.
    """

    problem: str
    index: int
    text: str
    extracted: str | None
    canonical: str | None
    verdict: Verdict
    well_formed: bool
    finish: str
    tokens: int | None
    entropy: float | None
    surprisal: float | None
    score: float = 0.0
    parts: Mapping[str, float] = field(default_factory=dict)
    entropy_sampling: float | None = None
    nucleus: float | None = None

    @property
    def right(self) -> bool:
        """Whether the answer was graded as right."""
        return self.verdict == "right"


@dataclass(frozen=True)
class Value:
    """What a metric says of one problem: a value, and the weight it has in the mean over problems.

    The suite's own weight of the problem is multiplied onto it. `cluster` is what is resampled whole; None: the
    problem's own.
    """

    value: float
    weight: float = 1.0
    cluster: str | None = None
