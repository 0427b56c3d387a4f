"""MathVista's official scoring of an extracted answer, and a strict one: pure functions of a stored row.

The rules are those of `evaluation/calculate_score.py` at lupantech/MathVista 53d5258, its odd cases included.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from warmrl.api import DataError
from warmrl_benchmarks.edit_distance import nearest

LETTER = re.compile(r"\(([a-zA-Z])\)")
NAMED = re.compile(r"\(?([A-Za-z])(?:\)?[.:,]?(?=\s)|\)|[.:])\s*(.*)", re.DOTALL)
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
LONGEST = 1_000_000
"""Characters of the longest extraction that is compared with choices; a longer one is nothing that was asked for."""
TYPES = ("integer", "float", "list")


@dataclass(frozen=True)
class Question:
    """What scoring needs of a problem. `choices` is empty for a free answer; `answer` is the right one, as text."""

    question_type: str
    answer_type: str
    choices: tuple[str, ...]
    precision: Any
    answer: Any

    @classmethod
    def of(cls, row: Mapping[str, Any], where: str) -> Question:
        """Of a row with the dataset's columns (`answer`, or else `gold`). Raises `DataError` naming `where`.

        Without `question_type` a row with choices is `multi_choice`; without `answer_type` the gold says by its look
        what it is, and its decimals are the precision.
        """
        choices, answer, precision = row.get("choices") or (), row.get("answer", row.get("gold")), row.get("precision")
        kind, form = row.get("question_type"), row.get("answer_type")
        if kind is None:
            kind = "multi_choice" if choices else "free_form"
        if form is None and kind == "free_form":
            form, precision = looks(str(answer), precision)
        if kind == "multi_choice":
            good = isinstance(choices, Sequence) and not isinstance(choices, str) and len(choices) > 0
            if not good or not all(isinstance(one, str) for one in choices):
                raise DataError(
                    f"{where}: `choices` is {choices!r:.80}; a question of type `multi_choice` has a list of texts. "
                    "Mend the row, or take it from the dataset again."
                )
        elif kind != "free_form" or form not in TYPES:
            raise DataError(
                f"{where}: `question_type` is {kind!r:.40} and `answer_type` {form!r:.40}; MathVista's scoring needs "
                f"`multi_choice`, or `free_form` with one of {', '.join(f'`{one}`' for one in TYPES)}. Give the "
                "dataset's columns with each row (`question_type`, `answer_type`, `choices`, `precision`)."
            )
        if answer is None:
            raise DataError(f"{where} has neither `answer` nor `gold`; one of them is the right answer. Mend the row.")
        return cls(str(kind), str(form), tuple(choices) if kind == "multi_choice" else (), precision, answer)

    def by_letter(self) -> Question:
        """The same where the answer is the letter of a choice and no choice's text."""
        place = code_of(str(self.answer))
        return replace(self, answer=self.choices[place]) if place < len(self.choices) else self

    def prediction(self, extraction: Any) -> str | None:
        """What the official code makes of an extraction, any JSON value: a choice's text, a number's, or None."""
        if self.question_type == "multi_choice":
            return self._choice(extraction)
        try:
            if self.answer_type == "integer":
                return str(int(float(extraction)))
            if self.answer_type == "float":
                return str(round(float(extraction), int(self.precision)))
            return str(extraction)
        except Exception:  # whatever it is, officially
            return None

    def _choice(self, extraction: Any) -> str | None:
        """The choice of a letter, `(B)` anywhere or `B` alone; else the nearest one, whatever the text is."""
        try:
            text = extraction.strip() if isinstance(extraction, str) else str(extraction)
        except Exception:
            text = ""
        if len(text) > LONGEST:
            return None
        if found := LETTER.search(text):
            text = found[1].upper()
        place = code_of(text)
        return self.choices[place] if place < len(self.choices) else nearest(text, list(self.choices))

    def right(self, extraction: Any) -> bool:
        """The official verdict."""
        return bool(self.prediction(extraction) == self.answer)

    def strict_prediction(self, extraction: Any) -> str | None:
        """The same of an answer that says one thing clearly; None for every other.

        A choice is a letter (`B`, `b`, `(B)`, `B. text`, `text (B)`; not two different ones, not one beyond the
        choices) or a choice's text, case and spaces aside. A whole number is one (3.7 isn't 3), and no number is
        infinite.
        """
        if self.question_type == "multi_choice":
            return self._clear_choice(extraction) if isinstance(extraction, str) else None
        if self.answer_type != "list" and isinstance(extraction, bool):
            return None
        if self.answer_type == "integer":
            try:
                if not float(extraction).is_integer():
                    return None
            except (ValueError, TypeError, OverflowError):
                return None
        found = self.prediction(extraction)
        return None if found in ("", "None", "nan", "inf", "-inf") else found

    def _clear_choice(self, extraction: str) -> str | None:
        text = plain(extraction[: LONGEST + 1])
        if not text or len(text) > LONGEST:
            return None
        meant = [one for one in self.choices if plain(one) == text]
        if meant:
            return meant[0] if len(set(meant)) == 1 else None
        letters = {one.upper() for one in LETTER.findall(extraction)}
        if not letters and (named := NAMED.fullmatch(extraction.strip())):
            rest = plain(named[2])
            place = code_of(named[1].upper())
            agrees = not rest or (place < len(self.choices) and plain(self.choices[place]) == rest)
            letters = {named[1].upper()} if agrees else set()
        if not letters and len(text) == 1:
            letters = {text.upper()}
        place = code_of(letters.pop()) if len(letters) == 1 else len(self.choices)
        return self.choices[place] if place < len(self.choices) else None

    def strictly_right(self, extraction: Any) -> bool:
        """The strict verdict."""
        found = self.strict_prediction(extraction)
        return found is not None and bool(found == self.answer)


def looks(answer: str, precision: Any) -> tuple[str, Any]:
    """The type and precision that a gold's look says: `integer`, `float` with its decimals, else compared as text."""
    if re.fullmatch(r"-?[0-9]{1,300}", answer):
        return "integer", None
    if decimals := re.fullmatch(r"-?[0-9]{1,300}\.([0-9]{1,300})", answer):
        return "float", len(decimals[1]) if precision is None else precision
    return "list", None


def plain(text: str) -> str:
    """Case, idle spaces and a full stop at the end taken off."""
    return " ".join(text.split()).removesuffix(".").casefold()


def code_of(letter: str) -> int:
    """The place of a choice's letter; far beyond every choice for other texts."""
    return ord(letter) - ord("A") if len(letter) == 1 and letter >= "A" else 1 << 30


def score_extractions(rows: Iterable[Mapping[str, Any]], strict: bool = False) -> list[bool]:
    """Verdicts on stored extractions, in order; their mean is the accuracy. `strict`: see `strict_prediction`.

    A row has `extraction` (any JSON value, as it was stored), the dataset's columns `question_type`, `answer_type`,
    `choices` and `precision`, and the right answer as `answer` or `gold`. Raises `DataError` naming the row, from 1.
    """
    verdicts = []
    for number, row in enumerate(rows, 1):
        if "extraction" not in row:
            raise DataError(f"row {number} has no `extraction`; every row holds one, which may be empty.")
        question = Question.of(row, f"row {number}")
        verdicts.append(question.strictly_right(row["extraction"]) if strict else question.right(row["extraction"]))
    return verdicts
