"""The five format corruptions of SPECS (methods C.1): an answer whose content stays and whose form goes.

Each is a pure function of text that takes tags away, or moves or replaces one, and keeps every other character, but for
white space at the ends of a text that it changed. What stripping brings together (`<thi<think>nk>`) is not looked at
again. A text without the tags that a corruption is about comes back as it was.
"""

from __future__ import annotations

import re
from collections.abc import Callable

# As the style `tags` reads them, spaces inside allowed. Possessive repeats never give back what they took.
THINK = re.compile(r"<\s*+/?\s*+think\s*+>")
ANSWER = re.compile(r"<\s*+/?\s*+answer\s*+>")
OPEN_ANSWER = re.compile(r"<\s*+answer\s*+>")
END_THINK = re.compile(r"<\s*+/\s*+think\s*+>")
EITHER = re.compile(r"<\s*+/?\s*+(?:think|answer)\s*+>")


def strip_tags(text: str) -> str:
    """(1) Without any of the four tags."""
    return without(EITHER, text)


def strip_answer(text: str) -> str:
    """(2) Without `<answer>` and `</answer>`."""
    return without(ANSWER, text)


def strip_think(text: str) -> str:
    """(3) Without `<think>` and `</think>`."""
    return without(THINK, text)


def answer_in_thought(text: str) -> str:
    """(4) Without `<answer>` and `</answer>`, and the last `</think>` at the very end (of several, the one kept).

    White space that stood before the tag goes with it. Without a `</think>` it is (2).
    """
    *_, last = None, *END_THINK.finditer(text)
    if last is None:
        return strip_answer(text)
    before = text[: last.start()]
    space = before[len(before.rstrip()) :]
    return END_THINK.sub("", ANSWER.sub("", text)).strip() + space + last[0]


def answer_in_words(text: str) -> str:
    """(5) `Answer:` in the place of `<answer>`, and no `</answer>`."""
    return without(ANSWER, OPEN_ANSWER.sub("Answer:", text))


def without(tags: re.Pattern[str], text: str) -> str:
    """The text without these tags, and then without white space at its ends; as it was if there are none."""
    found, count = tags.subn("", text)
    return found.strip() if count else text


CORRUPTIONS: dict[str, Callable[[str], str]] = {
    one.__name__: one for one in (strip_tags, strip_answer, strip_think, answer_in_thought, answer_in_words)
}
"""By name, in the paper's order."""
