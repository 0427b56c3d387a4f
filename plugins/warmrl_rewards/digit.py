"""The reward `digit`: whether an answer is the gold number."""

from __future__ import annotations

from collections.abc import Sequence

from warmrl.api import Grade, Problem, Reward
from warmrl_rewards.answer import Answer, normalise, without_name
from warmrl_rewards.config import DigitConfig
from warmrl_rewards.exact import exact
from warmrl_rewards.math import same_number

LONGEST = 200
"""Characters of the longest answer that is read."""


class Digit(Reward[DigitConfig]):
    """1.0 when the whole answer is the gold number, else 0.0 (VLAA-Thinking's reward for counts).

    Numbers are compared exactly: `3`, `3.0`, `+3`, `6/2`, `x = 3` and `3 cm` are three; `1,234`, `1 234` and `1234` are
    one number; `50%` is `50` and `0.5`. Two numbers, or a number in a sentence, are none. No library reads the text,
    and time is linear in it.
    """

    def score(self, problem: Problem, completions: Sequence[str]) -> list[float]:
        """1.0 or 0.0 for each completion, in order. Works in any thread."""
        return [grade.score for grade in self.grade(problem, completions)]

    def grade(self, problem: Problem, completions: Sequence[str]) -> list[Grade]:
        """The same with the answer; its canonical form is the number in lowest terms."""
        return [self._grade(problem.gold, self.style.extract(completion)) for completion in completions]

    def _grade(self, gold_text: str, text: str | None) -> Grade:
        if text is None:
            return Grade(0.0, None, None, "no answer")
        right = False
        if len(text) <= LONGEST:
            gold, answer = normalise(gold_text), normalise(text)
            gold, answer = without_name(gold, answer), without_name(answer, gold)
            units = bool(gold.unit and answer.unit and gold.unit != answer.unit)
            right = not units and same_number(gold, answer) is True
        return Grade(float(right), text, self.canonical(text), "right" if right else "wrong")

    def canonical(self, answer: str) -> str:
        """A number in lowest terms, else the text with single spaces."""
        short = " ".join(answer.split())
        number = exact(without_name(normalise(short), Answer("")).text) if len(short) <= LONGEST else None
        return str(number) if number else short
