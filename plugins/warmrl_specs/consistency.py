"""Whether reasoning leads to the answer that follows it, by a rule: its own last conclusion is the answer."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

THOUGHT = re.compile(r"<\s*+think\s*+>(.*?)<\s*+/\s*+think\s*+>", re.DOTALL)
BOX = re.compile(r"\\boxed\s*+\{([^{}]*+(?:\{[^{}]*+\}[^{}]*+)*+)\}")
# What a conclusion follows: an equals sign, or a word that says so and then the beginning of a value.
CLAIM = re.compile(
    r"=|≈|\\approx\b|\b[Aa]nswer\s*+:"
    r"|\b(?:is|are|be|equals?|gives?|get|becomes?|obtain|conclude)\s++"
    r"(?:(?:about|approximately|exactly|equal to|therefore|thus|then|simply|only)\s++)?(?=[-+$\\(*]*+[0-9\\])"
)
ROUNDED = re.compile(r"≈|\\approx\b")
NUMBER = r"[-+]?+(?:[0-9][0-9,]*+(?:\.[0-9]++)?+|\.[0-9]++)(?:/[0-9]++)?+"
LAST_NUMBER = re.compile(NUMBER)
# A number that is a value by itself: nothing goes on with it.
WHOLE_NUMBER = re.compile(NUMBER + r"(?!\s*+[\\^/*(+\-]|[A-Za-z0-9])")
# Signs before a value that are none of it.
LEAD = re.compile(r"(?:\s|\$|\*|\\\(|\\\[)*+")
# Where a value ends: the line, the formula, the clause.
END = re.compile(r"[\n;=≈$?]|\\\)|\\\]|\\approx|[.,:](?=\s|$)|\s(?:so|thus|hence|therefore|which|and|then|but|since)\b")
LETTER = re.compile(r"\(?([A-Z])\)?\.?")
OPTION = re.compile(r"(?:\b[Aa]nswer(?:\s+is)?|\b[Oo]ption|\b[Cc]hoice)\s*+:?\s*+\(?([A-Z])\b(?!')|\(([A-Z])\)")
LONGEST = 200
"""Characters of the longest value."""


def leads_to(completion: str, answer: str, canonical: Callable[[str], str]) -> str | None:
    r"""None where the reasoning between the think tags concludes `answer`; else why not, in words.

    The conclusion is the last of these in the reasoning: what `\boxed{}` holds (before anything else), what follows
    an equals sign, `answer:`, or a word such as `is` and `gives` with a value after it; without any of them the last
    number. Where the answer is an option's letter it is the last letter in brackets or after `answer is`, `option`.
    Two values are the same when the grader's `canonical` spells them alike, the unit aside.

    It cannot see whether the steps are right or lead from one to the next, a conclusion in words ("twice as long"), an
    option said by its text, equal values that `canonical` spells differently (8.49 for 6√2), or a remark after the
    conclusion that has a value of its own: it says no to the last four, and so leaves a right answer out.
    """
    thought = THOUGHT.search(completion)
    if thought is None:
        return "no reasoning"
    if letter := LETTER.fullmatch(answer.strip()):
        said = [found[1] or found[2] for found in OPTION.finditer(thought[1])]
        return None if said[-1:] == [letter[1]] else "another conclusion" if said else "no conclusion"
    concluded = list(conclusions(thought[1]))
    if not concluded:
        return "no conclusion"
    return None if canonical(answer) in map(canonical, concluded) else "another conclusion"


def conclusions(reasoning: str) -> Iterator[str]:
    """The last conclusion: as it stands, the number that it begins with, and the exact value before a rounded one."""
    if boxes := BOX.findall(reasoning):
        yield boxes[-1]
        return
    claims = [claim for claim in CLAIM.finditer(reasoning) if value_at(reasoning, claim.end())]
    for claim in claims[-2:] if claims and ROUNDED.fullmatch(claims[-1][0]) else claims[-1:]:
        yield from spellings(value_at(reasoning, claim.end()))
    if not claims and (numbers := LAST_NUMBER.findall(reasoning)):
        yield numbers[-1]


def value_at(text: str, start: int) -> str:
    """The value that begins at a place, up to the end of its clause."""
    begun = LEAD.match(text, start)
    rest = text[begun.end() : begun.end() + LONGEST] if begun else ""
    end = END.search(rest)
    return (rest[: end.start()] if end else rest).strip(" *")


def spellings(value: str) -> Iterator[str]:
    """A value as it stands, and the number that it begins with where words follow (`35 square feet of floor`)."""
    yield value
    if number := WHOLE_NUMBER.match(value):
        yield number[0]
