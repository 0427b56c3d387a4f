"""The dataset `mathvista`: mathematics in charts, figures, photographs and tables, multiple choice and free answers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from warmrl.api import DataError, Message, Problem, Text
from warmrl_datasets.config import MathVistaConfig
from warmrl_datasets.files import text_of
from warmrl_datasets.hub import HubDataset
from warmrl_datasets.rows import Row

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
# The official hints (build_query.py), for what the hint asks for.
HINT = "Hint: Please answer the question {} at the end."
HINTS = {
    "choice": "and provide the correct option letter, e.g., A, B, C, D,",
    "integer": "requiring an integer answer and provide the final value, e.g., 1, 2, 3,",
    "float 1": "requiring a floating-point number with one decimal place and provide the final value, e.g., 1.2, 1.3, "
    "1.4,",
    "float 2": "requiring a floating-point number with two decimal places and provide the final value, e.g., 1.23, "
    "1.34, 1.45,",
    "list": "requiring a Python list as an answer and provide the final list, e.g., [1, 2, 3], [1.2, 1.3, 1.4],",
}


class MathVista(HubDataset):
    """AI4Math/MathVista: the image, then the official `query` (hint, question with its unit, lettered choices).

    Ids are `mathvista:PID`. A multiple-choice problem is of kind `choice` and its gold is the letter of the right
    choice, which is what the query asks for (the first one's where two choices are the same text, as in 3 problems);
    every other is of kind `math` and its gold is `answer`. What the official score needs is in `Problem.extra`:
    `question_type`, `answer_type`, `choices`, `precision`, `answer` (the text of the right choice) and `query`; `unit`
    and `metadata` are too.

    Read are the Hub's Parquet files, or `testmini.json` of the project's repository (an object of problems by pid)
    with the folder `images` beside it; its queries are put together by the official rule.
    """

    hub_id: ClassVar[str] = "AI4Math/MathVista"
    columns: ClassVar[Mapping[str, str]] = {
        "id": "pid", "question": "query", "answer": "answer", "images": "decoded_image",
    }  # fmt: skip
    needed: ClassVar[tuple[str, ...]] = ("question_type", "answer_type", "choices", "precision", "metadata")

    def __init__(self, config: MathVistaConfig) -> None:
        super().__init__(config)
        self._leave_out = frozenset(config.leave_out)
        self._left_out = 0

    def notes(self) -> Sequence[str]:
        """How many problems were left out, of which sources; bad images."""
        self.problems()
        sources = ", ".join(sorted(self._leave_out))
        left_out = [f"{self._left_out} problems from {sources} are left out."] if self._leave_out else []
        return (*left_out, *super().notes())

    def _find(self, path: Path, split: str) -> list[Path]:
        """`SPLIT.json`, if it is there, or what every dataset of the Hub has."""
        file = path / f"{split}.json"
        return [file] if file.is_file() else super()._find(path, split)

    def _open(self, file: Path) -> tuple[list[str], Iterable[Row]]:
        if file.suffix != ".json":
            return super()._open(file)
        rows = read_by_pid(file)
        return list(dict.fromkeys(column for row in rows for column in row.values)), rows

    def _columns(self, file: Path, known: list[str]) -> dict[str, str]:
        """The columns of the Hub, or those of the repository's JSON: paths of images, and no queries yet."""
        if file.suffix != ".json":
            return super()._columns(file, known)
        columns = super()._columns(file, [*known, "decoded_image", "query"])
        query = "query" if "query" in known else "question"
        if missing := {query, "image"} - {*known}:
            raise DataError(f"{file} has no `{missing.pop()}` in its problems; fetch it again, with its images.")
        return columns | {"question": query, "images": "image"}

    def _problem(self, row: Row, columns: dict[str, str], place: int) -> Problem | None:
        if source_of(row) in self._leave_out:
            self._left_out += 1
            return None
        problem = super()._problem(row, columns, place)
        if problem is None:
            return None
        kind, gold = kind_and_gold(row, problem.gold)
        question = text_of(row, columns["question"], row.values[columns["question"]])
        query = question if columns["question"] == "query" else query_of(row, question)
        return replace(
            problem,
            id=f"mathvista:{problem.id}",
            messages=(Message("user", (*problem.images, Text(query))),),
            kind=kind,
            gold=gold,
            extra={**problem.extra, "answer": problem.gold, "query": query},
        )


def read_by_pid(file: Path) -> list[Row]:
    """The problems of a JSON object, in its order, numbered from 1. Raises `DataError`."""
    try:
        table = json.loads(file.read_bytes())
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file} is not JSON ({error}). Fetch it again.") from None
    if not isinstance(table, dict) or not all(isinstance(one, dict) for one in table.values()):
        raise DataError(f"{file} is no object of problems by pid, as MathVista's repository has it. Fetch it again.")
    return [Row(file, number, {"pid": pid, **values}) for number, (pid, values) in enumerate(table.items(), 1)]


def source_of(row: Row) -> str:
    """The dataset that a problem was taken from. Raises `DataError`."""
    metadata = row.values.get("metadata")
    if not isinstance(metadata, dict) or not isinstance(metadata.get("source"), str):
        raise DataError(f"{row}: `metadata` has no `source`; fetch the dataset again.")
    return metadata["source"]


def kind_and_gold(row: Row, answer: str) -> tuple[str, str]:
    """`choice` and the right letter, or `math` and the answer. Raises `DataError`."""
    kind: Any = row.values.get("question_type")
    form: Any = row.values.get("answer_type")
    if kind == "free_form" and form in ("integer", "float", "list"):
        return "math", answer
    choices = row.values.get("choices") or []
    if kind != "multi_choice" or answer not in choices or len(choices) > len(LETTERS):
        raise DataError(
            f"{row}: `question_type` is {kind!r:.40}, `answer_type` {form!r:.40}, with the answer {answer!r:.40} among "
            f"the choices {choices!r:.200}; it is `free_form` with an integer, float or list, or `multi_choice` with "
            "the answer among the choices. Fetch the dataset again."
        )
    return "choice", LETTERS[choices.index(answer)]


def query_of(row: Row, question: str) -> str:
    """The official query: hint, question with its unit, lettered choices."""
    values = row.values
    form = "choice" if values["question_type"] == "multi_choice" else str(values["answer_type"])
    if form == "float":
        form = "float 1" if values["precision"] == 1 else "float 2"
    unit = f" (Unit: {values['unit']})" if values.get("unit") else ""
    choices = [f"({LETTERS[place]}) {one}" for place, one in enumerate(values["choices"] or [])]
    lines = [HINT.format(HINTS[form]), f"Question: {question}{unit}", *(["Choices:"] if choices else []), *choices]
    return "\n".join(lines).strip()
