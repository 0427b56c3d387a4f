"""The dataset `mmmu`: college problems of thirty subjects, with options or open, and up to seven images."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, get_args

from warmrl.api import DataError, Image, Message, Problem, Text
from warmrl_datasets.config import MMMUConfig, Subject
from warmrl_datasets.files import text_of
from warmrl_datasets.hub import HubDataset, located, snapshot
from warmrl_datasets.rows import Row, data_files

SUBJECTS: tuple[str, ...] = get_args(Subject)
NAMED = re.compile(r"[a-z]+_([A-Za-z_]+)_[0-9]+")
PLACE = re.compile(r"<image ([1-7])>")
IMAGES = range(1, 8)
LONGEST = 20_000
"""Characters of the longest list of options that is read."""
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
# Of the official configuration (mmmu/configs/llava1.5.yaml).
CHOOSE = "Answer with the option's letter from the given choices directly."
SAY = "Answer the question using a single word or phrase."


class MMMU(HubDataset):
    """MMMU/MMMU: a folder for each subject, or the one table of lmms-lab/MMMU, with the official prompts.

    Ids are `mmmu:ID`. Where the text says `<image N>` for the first time, in question or options, `image_N` stands;
    images that it does not name come first. A question with options is of kind `choice` and its gold is the letter; an
    open one is of kind `open` and its gold is the answer, or the first of several. `Problem.extra` has `subject`,
    `question_type`, `options` (texts), `answers` (every gold), `subfield`, `topic_difficulty` and `img_type`.
    """

    hub_id: ClassVar[str] = "MMMU/MMMU"
    columns: ClassVar[Mapping[str, str]] = {
        "id": "id", "question": "question", "answer": "answer", "images": "image_1",
    }  # fmt: skip
    needed: ClassVar[tuple[str, ...]] = ("options", "question_type")

    def __init__(self, config: MMMUConfig) -> None:
        self._subjects, self._direct = tuple(config.subjects), config.direct
        super().__init__(config)

    def notes(self) -> Sequence[str]:
        """Subjects that are not there; bad images."""
        there = Counter(problem.extra["subject"] for problem in self.problems())
        missing = [one for one in self._subjects or SUBJECTS if one not in there]
        if not missing or self.config.limit is not None:
            return super().notes()
        named = ", ".join(missing[:5]) + (", …" if len(missing) > 5 else "")
        return (
            f"{len(missing)} of {len(self._subjects or SUBJECTS)} subjects are not there: {named}.",
            *super().notes(),
        )

    def _located(self, config: MMMUConfig) -> tuple[Path, str | None]:
        if config.path:
            return located(self.hub_id, config)
        patterns = [f"{subject}/{config.split}-*.parquet" for subject in config.subjects or SUBJECTS]
        folder = snapshot(self.hub_id, config.data_revision, patterns, every=True)
        return folder, folder.name

    def _find(self, path: Path, split: str) -> list[Path]:
        """The files of each subject that has a folder, or else of the one table."""
        folders = [path / subject for subject in SUBJECTS if (path / subject).is_dir()]
        if not folders:
            return data_files(path, split)
        wanted = [folder for folder in folders if folder.name in (self._subjects or SUBJECTS)]
        if missing := [one for one in self._subjects if not (path / one).is_dir()]:
            raise DataError(
                f"{path} has no folder {missing[0]}, which `subjects` names; fetch it, or take the name out."
            )
        return [file for folder in wanted for file in data_files(folder, split)]

    def _images(self, row: Row, identity: str, value: Any) -> list[Image] | None:
        """Those of the seven columns that hold one."""
        return super()._images(row, identity, [row.values[f"image_{number}"] for number in numbers_of(row)])

    def _problem(self, row: Row, columns: dict[str, str], place: int) -> Problem | None:
        subject = subject_of(row)
        if self._subjects and subject not in self._subjects:
            return None
        problem = super()._problem(row, columns, place)
        if problem is None:
            return None
        kind, golds, options = asked_of(row, problem.gold)
        question = text_of(row, "question", row.values["question"])
        lines = [f"({LETTERS[place]}) {one}\n" for place, one in enumerate(options)]
        text = f"{question}\n{''.join(lines)}"
        if self._direct:
            text += f"\n{CHOOSE}" if options else SAY
        images = dict(zip(numbers_of(row), problem.images, strict=True))
        extra = {"subject": subject, "question_type": row.values["question_type"], "options": options, "answers": golds}
        extra |= {name: row.values.get(name) for name in ("subfield", "topic_difficulty", "img_type")}
        return replace(
            problem,
            id=f"mmmu:{problem.id}",
            messages=(Message("user", placed(row, text.strip(), images)),),
            kind=kind,
            gold=golds[0],
            extra=extra,
        )


def numbers_of(row: Row) -> list[int]:
    """Which of the images a row has. Raises `DataError` when it has none."""
    cells = {number: row.values.get(f"image_{number}") for number in IMAGES}
    found = [n for n, one in cells.items() if one not in (None, "") and one != {"bytes": None, "path": None}]
    if not found:
        raise DataError(
            f"{row} has no image in `image_1` to `image_7`; every problem has one. Fetch the dataset again."
        )
    return found


def subject_of(row: Row) -> str:
    """The subject that an id names (`validation_Art_Theory_3`). Raises `DataError`."""
    found = NAMED.fullmatch(str(row.values.get("id")))
    if not found or found[1] not in SUBJECTS:
        raise DataError(
            f"{row}: the id {row.values.get('id')!r:.80} names no subject; ids are `SPLIT_SUBJECT_NUMBER`, as "
            "`validation_Accounting_1`. Fetch the dataset again."
        )
    return found[1]


def asked_of(row: Row, answer: str) -> tuple[str, list[str], list[str]]:
    """Kind, golds and options. Raises `DataError`."""
    kind = row.values["question_type"]
    if kind == "open":
        golds = texts_of(answer) if answer.startswith("[") else None
        return "open", golds or [answer], []
    options = texts_of(row.values["options"])
    if kind != "multiple-choice" or not options or answer not in list(LETTERS[: len(options)]):
        raise DataError(
            f"{row}: `question_type` is {kind!r:.40} with the answer {answer!r:.40} and the options "
            f"{row.values['options']!r:.200}; it is `open`, or `multiple-choice` with a list of at most 26 texts, "
            f"written as Python does in at most {LONGEST:,} characters, and the letter of one. Fetch the dataset again."
        )
    return "choice", [answer], options


def texts_of(value: Any) -> list[str] | None:
    """A list of texts, or one as a Python literal; None for anything else."""
    if isinstance(value, str):
        try:
            value = ast.literal_eval(value) if len(value) <= LONGEST else None
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return None
    if not isinstance(value, list) or len(value) > len(LETTERS) or not all(isinstance(one, str) for one in value):
        return None
    return value or None


def placed(row: Row, text: str, images: Mapping[int, Image]) -> tuple[Text | Image, ...]:
    """The text with each image where it is first named; the rest of the images first. Raises `DataError`."""
    named = [int(found[1]) for found in PLACE.finditer(text)]
    if missing := [number for number in named if number not in images]:
        raise DataError(
            f"{row} says `<image {missing[0]}>` and its `image_{missing[0]}` is empty. Fetch the dataset again."
        )
    parts: list[Text | Image] = [one for number, one in images.items() if number not in named]
    start, seen = 0, set()
    for found in PLACE.finditer(text):
        number = int(found[1])
        if number in seen:
            continue
        seen.add(number)
        if text[start : found.start()].strip():
            parts.append(Text(text[start : found.start()]))
        parts.append(images[number])
        start = found.end()
    if text[start:].strip():
        parts.append(Text(text[start:]))
    return tuple(parts)
