"""The teacher `pocket_scorer`: a scripted reward model, which rates readings of the pocket's pictures."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from warmrl.api import Problem, Teacher
from warmrl_pocket.config import PocketScorerConfig

LONGEST = 1000
"""Characters of an answer that are read."""
NUMBER = re.compile(r"[0-9]+")
FULL = 10.0
"""The rate of an answer that names all that is shown and nothing else."""


class PocketScorer(Teacher[PocketScorerConfig]):
    """S = 10 (right - wrong) / shown, from -10: how many of the numbers in the picture an answer names.

    What is shown is `Problem.extra["shown"]`, or else the numbers of the gold answer. A number counts as right as often
    as it is shown, and as wrong beyond that.
    """

    def rate(self, problem: Problem, answers: Sequence[str]) -> list[float]:
        """The rate of each answer, in order."""
        shown = Counter[str](problem.extra.get("shown") or NUMBER.findall(problem.gold))
        return [overlap(shown, Counter(NUMBER.findall(answer[:LONGEST]))) for answer in answers]

    def release(self) -> None:
        """There is nothing to give back."""


def overlap(shown: Counter[str], named: Counter[str]) -> float:
    """The rate of an answer that names these numbers."""
    right = (shown & named).total()
    wrong = (named - shown).total()
    return max(-FULL, FULL * (right - wrong) / max(1, shown.total()))
