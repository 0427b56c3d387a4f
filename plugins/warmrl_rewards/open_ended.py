"""The reward `open_ended`: how much better a reward model finds an answer than the reference."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from warmrl.api import Grade, Problem, Reward, ServiceError, Verdict
from warmrl_rewards.config import OpenEndedConfig

LONGEST = 10_000
"""Characters of the longest answer that is shown to the scorer."""


class OpenEnded(Reward[OpenEndedConfig]):
    """R = 1 - exp(-beta (S(answer) - S(gold))) when S(answer) > S(gold), else 0 (VLAA-Thinker; methods B.3).

    S is what the scorer, a teacher that rates, says of an answer to the problem. What is rated is the answer that the
    style finds, as the gold answer is one, not the reasoning before it. S(gold) is asked once a problem and kept, and
    asked alone, so that it is the same number whichever answers come with it. Equal answers are rated once.

    A rate is no verdict: as a grader it calls nothing `right` unless `right_from` says from which reward on. An answer
    of more than 10 000 characters gets 0 unseen. Raises `ServiceError` when the scorer gives no rates.
    """

    def __init__(self, config: OpenEndedConfig, style: Any) -> None:
        super().__init__(config, style)
        self._references: dict[tuple[str, str], float] = {}

    def score(self, problem: Problem, completions: Sequence[str]) -> list[float]:
        """The reward of each completion, in order."""
        return [grade.score for grade in self.grade(problem, completions)]

    def grade(self, problem: Problem, completions: Sequence[str]) -> list[Grade]:
        """The same with the answer."""
        answers = [self.style.extract(one) for one in completions]
        shown = list(dict.fromkeys(one for one in answers if one is not None and len(one) <= LONGEST))
        rates = dict(zip(shown, self._rated(problem, shown), strict=True)) if shown else {}
        reference = self._reference(problem) if shown else 0.0
        return [self._grade(one, rates, reference) for one in answers]

    def _grade(self, answer: str | None, rates: dict[str, float], reference: float) -> Grade:
        if answer is None:
            return Grade(0.0, None, None, "no answer")
        score = improvement(rates[answer], reference, self.config.beta) if answer in rates else 0.0
        enough = self.config.right_from
        verdict: Verdict = "right" if enough is not None and score >= enough else "wrong"
        return Grade(score, answer, self.canonical(answer), verdict)

    def _reference(self, problem: Problem) -> float:
        """S(gold)."""
        of = (problem.id, problem.gold)
        if of not in self._references:
            (self._references[of],) = self._rated(problem, [problem.gold])
        return self._references[of]

    def _rated(self, problem: Problem, answers: Sequence[str]) -> list[float]:
        rates = self._scorer.rate(problem, answers)
        if len(rates) != len(answers) or not all(map(math.isfinite, rates)):
            raise ServiceError(
                f"The scorer `{self.config.scorer.use}` gave {rates!r:.100} for {len(answers)} answers to "
                f"`{problem.id}`; a rate is a finite number for each."
            )
        return rates

    @cached_property
    def _scorer(self) -> Any:
        return self.opens(self.config.scorer)

    def rest(self) -> None:
        """Let the scorer leave the device, if it is set to."""
        if "_scorer" in vars(self):
            self._scorer.rest()

    def close(self) -> None:
        """Let the scorer give its memory and connections back."""
        if "_scorer" in vars(self):
            self._scorer.release()


def improvement(answer: float, reference: float, beta: float) -> float:
    """1 - exp(-beta (answer - reference)) where the answer is better, else 0; from 0 to 1."""
    return -math.expm1(-beta * (answer - reference)) if answer > reference else 0.0
