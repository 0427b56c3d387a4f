"""The reward `choice`: whether an answer says the right option, by its letter or its text."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping, Sequence
from typing import Any

from warmrl.api import Grade, Problem, Reward, Verdict
from warmrl_rewards.answer import normalise
from warmrl_rewards.config import ChoiceConfig

LONGEST = 1000
"""Characters of the longest answer that is read."""
# Full-width letters and punctuation as ASCII; every kind of bracket as a round one; marks that only decorate go.
PLAIN = str.maketrans(
    {
        **{chr(0xFF01 + i): chr(0x21 + i) for i in range(94)},
        **dict.fromkeys("【〔「『《〈［｛[{", "("),
        **dict.fromkeys("】〕」』》〉］｝]}", ")"),
        **dict.fromkeys("、。．", "."),
        **dict.fromkeys("*$_`\"'", ""),
        "\u3000": " ",
        "\u00a0": " ",
    }
)
COMMANDS = re.compile(r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mathit|mbox|boxed|left|right)(?![A-Za-z])|\\[()\[\], ]")
INTRODUCED = re.compile(
    r"(?:(?:so|thus|hence|therefore),? )?"
    r"(?:the )?(?:(?:final|correct|right|best) )?(?:(?:answer|option|choice)(?: is| should be)?|答案(?:是|为)?|选项?|故选|应选)"
    r" ?[:,]? ?(?:(?:option|choice|选项?) ?)?"
)
LETTER = re.compile(r"\(*([a-z])\)*[.:,]?")
LETTERED = re.compile(r"(?:\(+ ?([a-z]) ?\)+[.:,]?|([a-z])[).:,]+) ?(.+)")
# Another option's letter in a text that follows one; `a` alone is a word.
ANOTHER = re.compile(r"(?<![a-z0-9])(?:\(? ?[a-z] ?\)|[a-z][.:]|[b-h](?![a-z0-9]))")


class ChoiceReward(Reward[ChoiceConfig]):
    """1.0 when the answer says the gold option and no other, else 0.0.

    The gold answer is a letter or an option's text; `problem.extra["choices"]` are the texts, a list (of A, B, …) or a
    table by letter. An answer says an option by

    * its letter, in any case: `A`, `A.`, `(A)`, `A)`, `（A）`, `【A】`, `Option A`, `The answer is (A).`, `答案：A`;
    * its letter and text: `A) text`; when the text is another option's, it says both;
    * its own text, read as `math` reads answers; options of the same text are one.

    Saying two options is wrong (`A or B`, `A, C`), and so is a text that is none. A letter that is also another option's
    text is read as neither, unless it is the gold answer as it stands. Time is linear in the answer; one of more than
    1000 characters is wrong.
    """

    def score(self, problem: Problem, completions: Sequence[str]) -> list[float]:
        """1.0 or 0.0 for each completion, in order. Works in any thread."""
        return [grade.score for grade in self.grade(problem, completions)]

    def grade(self, problem: Problem, completions: Sequence[str]) -> list[Grade]:
        """The same with the answer; its canonical form is the option's letter."""
        options = options_of(problem.extra.get("choices"))
        golds = said(problem.gold, options)
        return [self._grade(self.style.extract(completion), problem.gold, golds, options) for completion in completions]

    def _grade(self, answer: str | None, gold: str, golds: set[str], options: Mapping[str, str]) -> Grade:
        if answer is None:
            return Grade(0.0, None, None, "no answer")
        short = " ".join(answer.split())
        found = said(short, options) if len(short) <= LONGEST else set()
        same = len(short) <= LONGEST and folded(short) == folded(gold) != ""
        right = same or (len(found) == 1 and found == golds)
        canonical = min(found) if len(found) == 1 else self.canonical(short)
        verdict: Verdict = "right" if right else "wrong"
        return Grade(float(right), answer, canonical, verdict)

    def canonical(self, answer: str) -> str:
        """The letter where one is said, else the text with single spaces."""
        short = " ".join(answer.split())
        found = said(short, {}) if len(short) <= LONGEST else set()
        return min(found) if len(found) == 1 else short


def options_of(choices: Any) -> dict[str, str]:
    """The texts of the options by letter, in capitals; empty when there are none, or what is there is neither form."""
    if isinstance(choices, Mapping):
        return {str(letter).strip().upper(): str(text) for letter, text in choices.items()}
    if isinstance(choices, Sequence) and not isinstance(choices, str):
        return dict(zip(string.ascii_uppercase, map(str, choices), strict=False))
    return {}


def folded(text: str) -> str:
    """In small letters, plain characters and single spaces, without a full stop at the end."""
    text = COMMANDS.sub(" ", text.translate(PLAIN)).casefold()
    text = " ".join(text.split()).removesuffix(".").rstrip()
    return text[1:-1].strip() if len(text) > 3 and inside_brackets(text) else text


def inside_brackets(text: str) -> bool:
    """Whether one pair of brackets holds the whole text."""
    return text[0] == "(" and text[-1] == ")" and not set("()") & set(text[1:-1])


def said(answer: str, options: Mapping[str, str]) -> set[str]:
    """The letters of the options that an answer says (of options with the same text, the first), `?` if unclear."""
    text = folded(answer)
    if found := INTRODUCED.match(text):
        text = text[found.end() :].strip() or text
    text = text.removesuffix(".").rstrip()
    letters = set()
    if (found := LETTER.fullmatch(text)) and (letter := known(found[1], options)):
        letters.add(letter)
    elif (found := LETTERED.fullmatch(text)) and (letter := known(found[1] or found[2], options)):
        also = saying(found[3], options)
        letters |= {letter} | also | ({"?"} if ANOTHER.search(found[3]) and not also else set())
    return letters | saying(text, options)


def known(letter: str, options: Mapping[str, str]) -> str | None:
    """The option that a letter names, as the first of those with its text; None when there is no such option."""
    letter = letter.upper()
    if not options:
        return letter
    return first(options[letter], options) if letter in options else None


def first(text: str, options: Mapping[str, str]) -> str:
    """The first letter with this text."""
    return next(letter for letter, other in options.items() if other == text)


def saying(text: str, options: Mapping[str, str]) -> set[str]:
    """The first of the options whose text this is."""
    mine, key = folded(text), normalise(text[:LONGEST]).key.casefold()
    same = [one for one in options.values() if folded(one) == mine or (key and normalise(one).key.casefold() == key)]
    return {first(same[0], options)} if same else set()
