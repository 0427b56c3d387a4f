"""Finds the answer in a response, as each task's response parser does (megabench/metrics/parsing)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from warmrl_benchmarks.mega_bench.literals import first_answer_line, last_structure, unquoted

PARSERS = ("answer_string", "verbatim_answer_string", "json")
"""The response parsers that are scored."""
ONE_LINE = re.compile(r"[a-zA-Z0-9_-]|\([a-zA-Z0-9_-]+\)$")
WORD = re.compile(r"\w*")


def fields(parser: str, response: str, answer: Mapping[str, Any]) -> dict[str, Any]:
    """The response's value of each field of the right answer (and of any other it has).

    `answer_string` and `verbatim_answer_string` give the one field a text. `json` gives the dict that the response
    ends with; where there is none, every field is the whole response, as officially.
    """
    if parser == "json":
        found = last_structure(first_answer_line(response))
        if not isinstance(found, dict) or not found:
            return dict.fromkeys(answer, response)
        return {key: unquoted(value) for key, value in found.items()}
    (name,) = [key for key in answer if not key.startswith("##")]
    if parser == "verbatim_answer_string":
        return {name: verbatim(response)}
    return {name: answer_string(response, one_line="\n" not in str(answer[name]))}


def answer_string(response: str, one_line: bool) -> str:
    """The text after the last `Answer:`, out of its code block or quotes; a structure in it as Python writes it.

    Where the right answer is `one_line` and an empty line follows the first, only that is taken.
    """
    text, is_code = code_block(after_answer(response).strip())
    if one_line and not is_code:
        text = first_paragraph(text)
    return settled(text)


def settled(text: str) -> str:
    """A text out of its quotes, or the structure that it begins with as Python writes it."""
    if not text.startswith(("{", "[")):
        return str(unquoted(text))
    found = last_structure(first_answer_line(text))
    if (found == {} and "{}" not in text) or (found == [] and "[]" not in text):
        return text
    return str(found)


def verbatim(response: str) -> str:
    """The same for answers whose spaces count: only blank lines around the text and around a code block are dropped."""
    lines = squeezed(after_answer(response).split("\n"))
    return settled(verbatim_block("\n".join(lines)))


def after_answer(response: str) -> str:
    """What follows the last `Answer:` (between stars, only up to the next star); the response when there is none."""
    text = response.replace("answer:", "Answer:")
    start = text.rfind("Answer:")
    if start < 0:
        return text
    before, after = text[:start].replace("Answer:", ""), text[start + len("Answer:") :]
    if before.endswith("*") and "*" in after:
        return after[: after.index("*")]
    if re.fullmatch(r"\w", before[-1:]):  # A word that only ends in it.
        return before + "Answer:" + after
    return after


def code_block(text: str) -> tuple[str, bool]:
    """What the first code block holds, stripped, and True; the text and False when there is none."""
    found = block(text)
    return (text, False) if found is None else (found.strip(), True)


def verbatim_block(text: str) -> str:
    """What the first code block holds, from its first line that isn't blank to its last; the text without a block."""
    found = block(text)
    if found is None:
        return text
    blank = found[: len(found) - len(found.lstrip())]
    found = found[blank.rfind("\n") + 1 :]
    inner = found.rstrip()
    return inner + found[len(inner) :].partition("\n")[0]


def block(text: str) -> str | None:
    """What is between the first fence with its language and the next fence; None when there is no pair."""
    start = text.find("```")
    if start < 0:
        return None
    language = WORD.match(text, start + 3)
    assert language
    end = text.find("```", language.end())
    return None if end < 0 else text[language.end() : end]


def first_paragraph(text: str) -> str:
    """The first line when an empty one follows it and it begins as an answer does (a word, a letter in brackets)."""
    paragraph = text.split("\n\n", 1)[0].strip()
    lines = [line.strip() for line in text.splitlines()]
    first = next((index for index, line in enumerate(lines) if line), None)
    alone = first is None or (first + 1 < len(lines) and not lines[first + 1])
    return paragraph if paragraph and alone and ONE_LINE.match(paragraph) else text


def squeezed(lines: list[str]) -> list[str]:
    """The lines without blank ones at the start and the end, and with one for each run of blank ones between."""
    kept = list[str]()
    for line in lines:
        if line.strip() or (kept and kept[-1].strip()):
            kept.append(line)
        elif kept:
            kept[-1] = ""
    return kept[:-1] if kept and not kept[-1].strip() else kept
