"""MMMU's official reading and judging of answers: pure functions of text, the same under every hash seed.

The rules are those of `mmmu/utils/eval_utils.py` at MMMU-Benchmark/MMMU bb0b95a, odd cases included, but for the option
that is drawn at random where none is found: None here. Every function takes time linear in the response.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal

Letters = Literal["lmms_eval", "mmmu"]
STRIPPED = ",.!?;:'"
INDICATORS = ("could be ", "so ", "is ", "thus ", "therefore ", "final ", "answer ", "result ")
TRIVIAL = frozenset(":,.!?;'")
# The official patterns, written so that a run of digits is looked at from its first one alone: the others, tried from
# there, fail as the first did. Matches are the same.
NUMBERS = (
    re.compile(r"-?\b\d{1,3}(?:,\d{3})+\b"),
    re.compile(r"-?(?<!\d)\d++(?:\.\d++)?[eE][+-]?\d+"),
    re.compile(r"-?(?:(?<!\d)\d++\.\d++|\.\d++|(?<!\d)\d++\b)(?![eE][+-]?\d)(?![,\d])"),
)


def chosen(response: str, options: Mapping[str, str], letters: Letters) -> str | None:
    """The letter of the option that a response names; None where the official code draws one.

    `(A)`, else the letter before a space or, failing that, a full stop (`lmms_eval`) or between spaces (`mmmu`), else,
    in a response of more than five words, an option's text. Of several the last one counts.
    """
    for sign in STRIPPED:
        response = response.strip(sign)
    text = f" {response} "
    forms = ("({})", "{} ", "{}.") if letters == "lmms_eval" else ("({})", " {} ")
    for form in forms:
        if found := [one for one in options if form.format(one) in text]:
            # Letters without brackets are put in order by where they stand between spaces, however they were found.
            where = form if form == "({})" else " {} "
            return last(found, [text.rfind(where.format(one)) for one in found])
    if len(text.split()) > 5:
        low = text.lower()
        if found := [one for one, said in options.items() if said.lower() in low]:
            return last(found, [low.rfind(options[one].lower()) for one in found])
    return None


def last(letters: Sequence[str], places: Sequence[int]) -> str:
    """The letter of the greatest place; the first of several."""
    return letters[max(range(len(letters)), key=places.__getitem__)]


def keys_of(response: str) -> list[str]:
    """What a response to an open question may mean: per line the shortest text behind an indicator; else all of it."""
    response = response.strip().strip(".").lower()
    lines, found = response.split("\n"), []
    for number, line in enumerate(lines, 1):
        shortest = ""
        for indicator in (*INDICATORS, *(["="] if number == len(lines) else [])):
            if indicator in line:
                behind = line.rsplit(indicator, 1)[1].strip()
                if not shortest or len(behind) < len(shortest):
                    shortest = behind
        if shortest and shortest not in TRIVIAL:
            found.append(shortest)
    return found or [response]


def parsed(response: str) -> list[str | float]:
    """The texts and numbers that a response to an open question may mean, in order, each once."""
    keys = keys_of(response)
    every = [*keys, *(number for key in keys for pattern in NUMBERS for number in pattern.findall(key))]
    return list(dict.fromkeys(one for text in every for one in normal(text)))


def normal(text: str) -> list[str | float]:
    """A number rounded to two decimals, or the text in lower case; one letter with a space on either side."""
    text = text.strip()
    try:
        return [round(float(text.replace(",", "")), 2)]
    except ValueError:
        text = text.lower()
    return [" " + text, text + " "] if len(text) == 1 else [text]


def open_right(said: Sequence[str | float], golds: Sequence[str]) -> bool:
    """Whether a gold stands in one of the texts, or is one of the numbers."""
    wanted = [one for gold in golds for one in normal(gold)]
    texts = [one for one in wanted if isinstance(one, str)]
    return any(any(one in text for one in texts) if isinstance(text, str) else text in wanted for text in said)
