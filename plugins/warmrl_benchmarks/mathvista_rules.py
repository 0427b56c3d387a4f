r"""Finds the answer to a MathVista question in a response by rules, without any service.

In this order: the official quick paths (the whole response is a choice or a number); the last `\boxed{}` and the last
`<answer>…</answer>`; what follows the last phrase that announces an answer (`the answer is`, `Answer:`, `therefore`,
…); the last sentence; the whole response. In each, what the question asks for is looked for: an option's letter or a
choice's text, a number, a list. All of it takes time linear in the response, of which the end counts alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from warmrl_benchmarks.mathvista_scoring import Question, plain

TAIL = 20_000
"""Characters of a response that are looked at, from its end."""
BOX = re.compile(r"\\(?:boxed|fbox)\s{0,9}\{")
BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
TAG = re.compile(r"<\s{0,9}(/?)\s{0,9}answer\s{0,9}>", re.IGNORECASE)
END_THINK = re.compile(r"<\s{0,9}/\s{0,9}think\s{0,9}>", re.IGNORECASE)
WRAPPER = re.compile(r"\\(?:text|textbf|textrm|mathrm|mathbf|mbox|operatorname)\s{0,9}\{([^{}]{0,400})\}")
FRACTION = re.compile(r"\\[dt]?frac\s{0,9}\{\s{0,9}(-?[0-9.]{1,20})\s{0,9}\}\s{0,9}\{\s{0,9}([0-9.]{1,20})\s{0,9}\}")
IDLE = re.compile(r"\\(?:left|right|displaystyle)(?![A-Za-z])|\\[()\[\],;:! ]|\*\*|[$`]|(?<=\d)\{,\}(?=\d)|\\(?=[%$])")
ANNOUNCED = re.compile(
    r"\b(?:answer|option|choice|letter|result|value|extracted answer|solution)\b\s{0,3}(?:is|are|would be|should be|"
    r"must be|was|equals|to the question is|here is|=|:|\u2192|->)(?:\s{0,3}(?:option|choice|therefore|thus|:))?"
    r"|\b(?:therefore|thus|hence|so|conclude that|in conclusion|in summary|consequently)\b,?"
    r"|\b(?:choose|select|pick|go with|leaves (?:us )?with|must be|corresponds to|matches)\b|####",
    re.IGNORECASE,
)
ALONE = re.compile(r"\(?[A-Z]\)?[.:]?|-?[0-9][0-9,]{0,20}(?:\.[0-9]{1,20})?")
SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
BRACKETED = re.compile(r"[(\[]\s{0,3}([A-Z])\s{0,3}[)\]]")
FIRST_LETTER = re.compile(
    r"\W{0,6}(?:(?:option|choice|letter|answer)\s{1,3})?[(\[\"']?([A-Za-z])(?:[)\].:,;\"'*]|\s*$|\s(?=[-\u2013(:])|(?=\n))"
)
LONE_CAPITAL = re.compile(r"(?<![\w'\u2019.\\])([B-HJ-Z])(?![\w'\u2019])")
CALLED = re.compile(
    r"(?<![\w'\u2019])\(?([A-Z])\)?\s{1,3}(?:is|must be|seems|looks)\s{1,3}(?:the\s{1,3})?(?:only\s{1,3})?"
    r"(?:correct|right|best|answer|solution)(?!\w)"
)
SCIENCE = re.compile(r"\s{0,3}(?:\\times|\u00d7|x|\*)\s{0,3}10\s{0,3}\^\s{0,3}\{?\s{0,3}([+-]?[0-9]{1,3})\}?")
NUMBER = re.compile(
    r"(?<![\w.])[-\u2212\u2013]?\s?(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]{1,40})?(?:\.[0-9]{1,40})?(?<=[0-9])"
    r"(?:[eE][+-]?[0-9]{1,3}(?![0-9]))?(?![0-9])"
)
RATIO = re.compile(
    r"(?<![\w.])(-?[0-9]{1,20}(?:\.[0-9]{1,20})?)\s{0,3}/\s{0,3}([0-9]{1,20}(?:\.[0-9]{1,20})?)(?![\w/])"
)
LIST = re.compile(r"\[([^\[\]]{0,2000})\]")
SPOKEN = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
WORDS = {word: value for value, word in enumerate(SPOKEN)}
WORD = re.compile(rf"\b(?:{'|'.join(WORDS)})\b(?!-)", re.IGNORECASE)


def extract(response: str, question: Question) -> str | None:
    """The answer as the official extractor would write it (a letter, a number, a list), or None."""
    if (found := quick(response, question)) is not None:
        return found
    text = response[-TAIL:]
    for part, announced in parts_of(text):
        if (found := read(spelled(part), question, announced)) is not None:
            return found
    return None


def quick(response: str, question: Question) -> str | None:
    """The official quick paths: a response that is a choice, or nothing but a number; None for every other."""
    if response in question.choices:
        return response
    try:
        if question.answer_type == "integer":
            return str(int(response))
        if question.answer_type == "float":
            return str(float(response))
    except ValueError:
        pass
    return None


def parts_of(text: str) -> Iterator[tuple[str, bool]]:
    """Where to look, best first, and whether an answer is announced there, so that the first thing in it counts."""
    if boxed := last_box(text):
        yield boxed, True
    if tagged := last_tagged(text):
        yield tagged, True
    if ends := [found.end() for found in END_THINK.finditer(text)]:
        text = text[ends[-1] :] if text[ends[-1] :].strip() else text
    text = IDLE.sub("", text)
    first, _, rest = text.strip().partition("\n")
    if rest and ALONE.fullmatch(first.strip()):
        yield first.strip(), True
    if called := list(CALLED.finditer(text)):
        yield called[-1][0], True
    announced = list(ANNOUNCED.finditer(text))
    firm = [one for one in announced if one[0].lower().split()[0].rstrip(":=") in FIRM]
    for one in [*firm[::-1][:3], *announced[::-1][:3]]:
        yield SENTENCE.split(text[one.end() :].lstrip(" \n:="), maxsplit=1)[0], True
    sentences = [one for one in SENTENCE.split(text) if one.strip()]
    if sentences:
        yield sentences[-1], False
        yield sentences[0], False
    yield text, False


FIRM = {"answer", "option", "choice", "extracted", "####", "solution"}


def last_box(text: str) -> str:
    r"""What the last `\boxed{` that is closed holds; empty when there is none."""
    for start in [found.end() for found in BOX.finditer(text)][::-1][:3]:
        depth = 1
        for found in BRACE.finditer(text, start):
            depth += {"{": 1, "}": -1}.get(found[0], 0)
            if depth == 0:
                return text[start : found.start()]
    return ""


def last_tagged(text: str) -> str:
    """What the last `<answer>` that is closed holds; empty when there is none."""
    opened, found = None, ""
    for tag in TAG.finditer(text):
        if not tag[1]:
            opened = tag.end()
        elif opened is not None:
            found, opened = text[opened : tag.start()], None
    return found


def spelled(text: str) -> str:
    """Without markup: text commands opened, mathematics' dollars and stars gone, fractions as `a/b`."""
    return FRACTION.sub(r"\1/\2", WRAPPER.sub(r"\1", IDLE.sub("", text))).strip()


def read(text: str, question: Question, announced: bool) -> str | None:
    """The answer that a part of a response gives; None when there is none of the question's type."""
    if not text:
        return None
    if question.question_type == "multi_choice":
        return letter(text, question, announced)
    if question.answer_type == "list":
        return listed(text)
    return number(text, announced, whole=question.answer_type == "integer")


def letter(text: str, question: Question, announced: bool) -> str | None:
    """The letter of the choice that a text names by its letter or by its own text."""
    letters = [chr(ord("A") + place) for place in range(len(question.choices))]
    by_text = {plain(spelled(one)): place for place, one in reversed(list(enumerate(question.choices)))}
    if (place := by_text.get(plain(text).strip("\"'"))) is not None:
        return letters[place]
    if called := [one for one in CALLED.findall(text) if one in letters]:
        return called[-1]
    if bracketed := [one for one in BRACKETED.findall(text) if one in letters]:
        return bracketed[0] if announced else bracketed[-1]
    if (found := FIRST_LETTER.match(text)) and found[1].upper() in letters and (announced or found.end() == len(text)):
        return found[1].upper()
    if (named := mentioned(plain(text), by_text, announced)) is not None:
        return letters[named]
    alone = [one for one in LONE_CAPITAL.findall(text) if one in letters]
    return (alone[0] if announced else alone[-1]) if alone and len(set(alone)) == 1 else None


def mentioned(text: str, choices: dict[str, int], first: bool) -> int | None:
    """The place of the choice that stands in the text as whole words: the first or the last, the longer of two."""
    found = []
    for choice, place in choices.items():
        where = text.find(choice) if first else text.rfind(choice)
        while choice and where >= 0:
            before, after = text[where - 1 : where], text[where + len(choice) : where + len(choice) + 1]
            if not (before + after).replace("_", "").isalnum() and not (before.isalnum() or after.isalnum()):
                found.append((where if first else -where - len(choice), -len(choice), place))
                break
            where = text.find(choice, where + 1) if first else text.rfind(choice, 0, where)
    return min(found)[2] if found else None


def number(text: str, announced: bool, whole: bool) -> str | None:
    """A number without separators: after the last `=` or `≈` of an announced text the first, else the last."""
    for sign in ("\u2248", "\\approx", "=") if announced else ():
        if sign in text and (found := number(text.rsplit(sign, 1)[1], True, whole)) is not None:
            return found
    if not whole and (ratio := RATIO.search(text)) and float(ratio[2]):
        return str(float(ratio[1]) / float(ratio[2]))
    numbers = [one for one in NUMBER.finditer(text) if one[0].strip()]
    if numbers:
        one = numbers[0 if announced else -1]
        power = SCIENCE.match(text, one.end())
        value = one[0].replace(",", "").replace(" ", "").replace("\u2212", "-").replace("\u2013", "-")
        return value + (f"e{power[1]}" if power else "")
    words = WORD.findall(text)
    return str(WORDS[words[0 if announced else -1].lower()]) if words else None


def listed(text: str) -> str | None:
    """A list as Python writes it: the last one in brackets, or else every number, if there are several."""
    if brackets := LIST.findall(text):
        items = [one.strip() for one in brackets[-1].split(",")]
        return f"[{', '.join(items)}]" if all(items) else None
    numbers = [one[0].replace(",", "").strip() for one in NUMBER.finditer(text) if one[0].strip()]
    return f"[{', '.join(numbers)}]" if len(numbers) > 1 else None
