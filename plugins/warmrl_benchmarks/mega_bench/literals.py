"""Reads sets, lists, dicts, boxes and points out of untrusted text: bounded in length and depth, nothing evaluated."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from numbers import Number
from typing import Any

LONGEST = 20_000
"""Characters of the longest text that is read as a structure."""
DEEPEST = 100
"""Levels of brackets of the deepest one."""
MOST = 100
"""Structures of a text that are tried, from the last."""
ESCAPE = re.compile(r"\\(.)", re.DOTALL)
KNOWN_ESCAPES = set("\n\\'\"abfnrtvxuUN01234567")
STRING = re.compile(r'"(?:\\.|[^"\\])*"')
LONE_QUOTE = re.compile(r"(?<!\w)'|'(?!\w)")


def literal(text: str) -> Any:
    """The value of a Python literal, as `ast.literal_eval`. Raises `ValueError` for any other text."""
    if len(text) > LONGEST or depth(text) > DEEPEST:
        raise ValueError("too long or too deep")
    # An unknown escape is a backslash; doubled, it is so without Python's warning.
    plain = ESCAPE.sub(lambda found: found[0] if found[1] in KNOWN_ESCAPES else "\\" + found[0], text)
    try:
        return ast.literal_eval(plain)
    except (SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise ValueError(str(error)) from None


def depth(text: str) -> int:
    """Levels of brackets, whatever they stand in."""
    level = deepest = 0
    for character in text:
        if character in "([{":
            level += 1
            deepest = max(deepest, level)
        elif character in ")]}":
            level -= 1
    return deepest


def unquoted(value: Any) -> Any:
    """What a quoted text says; anything else as it is."""
    if not isinstance(value, str):
        return value
    try:
        found = literal(value)
    except ValueError:
        return value
    return found if isinstance(found, str) else value


def last_structure(text: str) -> Any:
    """The last dict or list of a text that can be read, as a Python literal or else as JSON; `{}` when there is none.

    A text that opens with a bracket gives `[]` instead. A list or dict written in double quotes inside is read too.
    """
    for found in reversed(structures(text)[-MOST:]):
        if len(found) <= LONGEST and depth(found) <= DEEPEST:
            for value in readings(found):
                return value
    return [] if text.startswith("[") else {}


def structures(text: str) -> list[str]:
    """The outermost `{…}` and `[…]`, left to right, in time linear in the text.

    Braces are balanced inside each. A bracketed one goes to the last `]` that can be reached past balanced braces
    alone (`[1] or [2]` is one).
    """
    places = [found.start() for found in re.finditer(r"[{}\[\]]", text)]
    marks = [text[place] for place in places]
    closing = partners(marks)
    found, index, barren = [], 0, 0
    while index < len(marks):
        end = closing.get(index)
        if marks[index] == "[" and index >= barren:
            end, barren = reach(marks, closing, index)
        if end is None:
            index += 1
        else:
            found.append(text[places[index] : places[end] + 1])
            index = end + 1
    return found


def partners(marks: list[str]) -> dict[int, int]:
    """Each `{` that is closed -> its `}`."""
    closing, opened = dict[int, int](), list[int]()
    for index, mark in enumerate(marks):
        if mark == "{":
            opened.append(index)
        elif mark == "}" and opened:
            closing[opened.pop()] = index
    return closing


def reach(marks: list[str], closing: dict[int, int], start: int) -> tuple[int | None, int]:
    """The last `]` that goes with the `[` at `start`, and the lone brace (or the end) up to which it was looked for."""
    last, index = None, start + 1
    while index < len(marks):
        if marks[index] == "{" and index in closing:
            index = closing[index]
        elif marks[index] in "{}":
            break
        elif marks[index] == "]":
            last = index
        index += 1
    return last, index


def readings(text: str) -> Iterator[Any]:
    """The values that a text can be read as, best first."""
    opened = with_nested(text)
    for attempt in (opened, opened.replace('\\"', '\\\\"').replace("\\'", "\\\\'")):
        with suppress(ValueError):
            yield literal(attempt)
    for attempt in (opened, LONE_QUOTE.sub('"', opened)):
        with suppress(ValueError, RecursionError):
            yield json.loads(attempt)


def with_nested(text: str) -> str:
    """The text, with each double-quoted string that holds a JSON list or dict replaced by it."""
    hidden = text.replace('\\"', "\0d").replace("\\'", "\0s")
    for quoted in dict.fromkeys(STRING.findall(hidden)):
        inner = quoted[1:-1].replace("\0d", '"').replace("\0s", "'")
        if inner.lstrip()[:1] in ("[", "{"):
            with suppress(ValueError, RecursionError):
                hidden = hidden.replace(quoted, json.dumps(json.loads(inner)))
    return hidden.replace("\0d", '\\"').replace("\0s", "\\'")


def as_dict(value: Any) -> Any:
    """A text as the structure in it, at any depth of a dict; what holds none as it is."""
    if isinstance(value, dict):
        return {key: as_dict(inner) for key, inner in value.items()}
    return last_structure(first_answer_line(value)) or value if isinstance(value, str) else value


def first_answer_line(text: str) -> str:
    """What is on the first line that begins with `Answer:` (stars before it allowed), else the text; stripped."""
    found = re.search(r"^(?:\*\*)?Answer:\s*(.+)", text, re.MULTILINE)
    return fenced(found[1].strip() if found else text.strip(), "json")


def fenced(text: str, language: str) -> str:
    """What is between the first fence of that language and the next one; the text when there is no such pair."""
    start = text.find("```" + language)
    end = text.find("```", start + 3)
    return text[start + 3 + len(language) : end].strip() if 0 <= start < end else text


def as_set(value: Any) -> set[Any]:
    """The members of a structure, or of a text that lists them."""
    value = frozen(value)
    return set(value) if isinstance(value, frozenset | tuple) else listed(value, set)


def frozen(value: Any) -> Any:
    """A structure that can be a member of a set."""
    if isinstance(value, dict):
        return frozenset((key, frozen(inner)) for key, inner in value.items())
    if isinstance(value, list | tuple):
        return tuple(map(frozen, value))
    return frozenset(value) if isinstance(value, set) else value


def as_list(value: Any) -> list[Any]:
    """The members of a text that lists them, in order; of anything that is no text, none."""
    return listed(value, list)


def listed(value: Any, make: Callable[..., Any]) -> Any:
    """A text's members: of a literal, else between commas; none when it opens a bracket and closes another."""
    text = value.strip(" ") if isinstance(value, str) else ""
    pair = {"(": ")", "{": "}", "[": "]"}.get(text[:1])
    if not text or (pair and not text.endswith(pair)) or len(text) > LONGEST:
        return make()
    try:
        found = literal(text)
    except ValueError:
        inner = text[1:-1] if pair else text
        return make(item.strip() for item in inner.split(","))
    try:
        return make() if found is None else make([found] if isinstance(found, int | float) else found)
    except TypeError:
        return make()


def as_boxes(value: Any) -> list[Any]:
    """The boxes (four numbers) of a list of them, or of the text of one or more; what isn't a box is left out."""
    if isinstance(value, list | tuple):
        return list(value)
    if not isinstance(value, str):
        return []
    found = literal_or_json(value)
    if not isinstance(found, list | tuple):
        return []
    if len(found) == 4 and isinstance(found[0], Number):
        found = [found]
    return [one for one in found if is_row(one, 4)]


def as_points(value: Any) -> list[Any]:
    """The points (two numbers) of a list, or of a text of them; what isn't a point is left out of the text's."""
    if isinstance(value, list | tuple):
        return list(value)
    return [one for one in literal(value) if is_row(one, 2)]


def literal_or_json(text: str) -> Any:
    """A literal or JSON; None when it is neither."""
    try:
        return literal(text)
    except ValueError:
        pass
    try:
        return json.loads(text[: LONGEST + 1])
    except (ValueError, RecursionError):
        return None


def is_row(value: Any, length: int) -> bool:
    """Whether it is that many numbers."""
    rows = isinstance(value, list | tuple) and len(value) == length
    return rows and all(isinstance(number, int | float) for number in value)
