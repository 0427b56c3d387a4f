"""The reward `digit`: whether an answer is the gold number."""

from __future__ import annotations

import re
from collections.abc import Sequence

from warmrl.api import Grade, Problem, Reward
from warmrl_rewards.answer import UNITS, Answer, normalise, without_name
from warmrl_rewards.config import DigitConfig
from warmrl_rewards.exact import exact
from warmrl_rewards.math import same_number

LONGEST = 200
"""Characters of the longest answer that is read."""
COUNTED = re.compile(r"\s*+([+-]?+[0-9][0-9.,]*+)\s++([A-Za-z][A-Za-z-]++(?: [A-Za-z][A-Za-z-]++){0,2})\s*+\.?\s*+")
# Words behind a number that make another number, or a sentence, of it.
NO_NOUNS = re.compile(
    r"\b(?:and|are|but|by|cubed|dozen|eighths?|fifths?|for|hal(?:f|ves)|hundred|if|is|minus|[mb]illion|no|not|of|or|over|"
    r"per|percent|pi|plus|point|quarters?|sqrt|squared|tenths?|than|the|thirds?|thousand|times|to|trillion|was)\b"
)


class Digit(Reward[DigitConfig]):
    """1.0 when the whole answer is the gold number, else 0.0 (VLAA-Thinking's reward for counts).

    What is counted may be named behind the number (`3 red cubes`); where both sides name it, it must be the same.

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
            (gold_text, wanted), (number, counted) = without_noun(gold_text), without_noun(text)
            gold, answer = normalise(gold_text), normalise(number)
            gold, answer = without_name(gold, answer), without_name(answer, gold)
            others = bool(gold.unit and answer.unit and gold.unit != answer.unit) or bool(
                wanted and counted and wanted != counted
            )
            right = not others and same_number(gold, answer) is True
        return Grade(float(right), text, self.canonical(text), "right" if right else "wrong")

    def canonical(self, answer: str) -> str:
        """A number in lowest terms, else the text with single spaces."""
        short, _ = without_noun(" ".join(answer.split()))
        number = exact(without_name(normalise(short), Answer("")).text) if len(short) <= LONGEST else None
        return str(number) if number else short


def without_noun(text: str) -> tuple[str, str]:
    """A number without what it counts, and that (in small letters, in the singular); units are left to `normalise`."""
    found = COUNTED.fullmatch(text)
    noun = found[2].casefold() if found else ""
    if not found or found[2] in UNITS or NO_NOUNS.search(noun) or noun.startswith(("sq ", "square ", "cubic ")):
        return text, ""
    return found[1], noun.removesuffix("s")
