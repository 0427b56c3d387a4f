"""The dataset `mathvista`: mathematics in charts, figures, photographs and tables, multiple choice and free answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from warmrl.api import DataError, Message, Problem, Text
from warmrl_datasets.config import MathVistaConfig
from warmrl_datasets.files import text_of
from warmrl_datasets.hub import HubDataset
from warmrl_datasets.rows import Row

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


class MathVista(HubDataset):
    """AI4Math/MathVista: the image, then the official `query` (hint, question with its unit, lettered choices).

    Ids are `mathvista:PID`. A multiple-choice problem is of kind `choice` and its gold is the letter of the right
    choice, which is what the query asks for; every other is of kind `math` and its gold is `answer`. Both are graded
    by the reward `math`. The text of the answer, `choices`, `answer_type`, `precision`, `unit` and `metadata` are in
    `Problem.extra`.

    What that makes other than the official score, which extracts with a language model and then takes the nearest
    choice: an answer that names the choice by its text or not at all is wrong; a number must equal the gold without
    being rounded to `precision` first; where two choices are the same text (3 problems) the first one's letter is
    right; the two problems whose answer is a list are compared as mathematics.
    """

    hub_id: ClassVar[str] = "AI4Math/MathVista"
    columns: ClassVar[Mapping[str, str]] = {
        "id": "pid", "question": "query", "answer": "answer", "images": "decoded_image",
    }  # fmt: skip

    def __init__(self, config: MathVistaConfig) -> None:
        super().__init__(config)
        self._leave_out = frozenset(config.leave_out)

    def _problem(self, row: Row, columns: dict[str, str], place: int) -> Problem | None:
        problem = None if source_of(row) in self._leave_out else super()._problem(row, columns, place)
        if problem is None:
            return None
        kind, gold = kind_and_gold(row, problem.gold)
        query = text_of(row, "query", row.values["query"])
        parts = (*problem.images, Text(query))
        extra = {**problem.extra, "answer": problem.gold}
        return replace(
            problem,
            id=f"mathvista:{problem.id}",
            messages=(Message("user", parts),),
            kind=kind,
            gold=gold,
            extra=extra,
        )


def source_of(row: Row) -> str:
    """The dataset that a problem was taken from. Raises `DataError`."""
    metadata = row.values.get("metadata")
    if not isinstance(metadata, dict) or not isinstance(metadata.get("source"), str):
        raise DataError(f"{row}: `metadata` has no `source`; fetch the dataset again.")
    return metadata["source"]


def kind_and_gold(row: Row, answer: str) -> tuple[str, str]:
    """`choice` and the right letter, or `math` and the answer. Raises `DataError`."""
    kind: Any = row.values.get("question_type")
    if kind == "free_form":
        return "math", answer
    choices = row.values.get("choices") or []
    if kind != "multi_choice" or answer not in choices or len(choices) > len(LETTERS):
        raise DataError(
            f"{row}: `question_type` is {kind!r:.40} with the answer {answer!r:.40} among the choices "
            f"{choices!r:.200}; it is `free_form`, or `multi_choice` with the answer among the choices. Fetch the "
            "dataset again."
        )
    return "choice", LETTERS[choices.index(answer)]
