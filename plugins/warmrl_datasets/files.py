"""The dataset `files`: problems from JSONL or Parquet files, with images as files beside them or as bytes inside."""

from __future__ import annotations

import difflib
import hashlib
import os.path
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from warmrl.api import DataError, Dataset, Image, Message, Problem, Text
from warmrl_datasets.config import FilesConfig
from warmrl_datasets.images import Source, grey
from warmrl_datasets.preferences import PLACE, Turns, answer_of, pair_columns, shared_prompt, turns_of
from warmrl_datasets.rows import Row, data_files, open_rows

OPTIONAL = ("id", "solution", "rejected", "kind", "cluster")


class Files(Dataset[FilesConfig]):
    """Problems of one split. Columns with no part of their own are kept in `Problem.extra` (bytes are not).

    Reading checks everything at once: every row, every id, and of every image the header, the size against
    `max_pixels`, and that the file isn't cut off; images are decoded when a problem is used. With `on_bad_image`
    `skip` or `replace` every image is decoded once, so that `bad_images` (problem id -> what is wrong) is complete
    before anything is trained.
    """

    def __init__(self, config: FilesConfig) -> None:
        super().__init__(config)
        self.bad_images: dict[str, str] = {}
        self._files = self._find(Path(config.path).expanduser(), config.split)

    def problems(self) -> Sequence[Problem]:
        """Every problem, in the order of the file. Raises `DataError` naming file, row, rule and fix."""
        return self._problems

    def notes(self) -> Sequence[str]:
        """How many problems have a bad image, and what became of them."""
        self.problems()
        if not self.bad_images:
            return ()
        what = "left out" if self.config.on_bad_image == "skip" else "shown with a grey square"
        first = next(iter(self.bad_images.values()))
        return (
            f"{len(self.bad_images)} problems have an image that cannot be read and are {what}; the first: {first}",
        )

    def fingerprint(self) -> str:
        """SHA-256 over the bytes of the data files and of every image that a problem has."""
        digest = hashlib.sha256()
        for file in self._files:
            with file.open("rb") as data:
                digest.update(hashlib.file_digest(data, "sha256").digest())
        for problem in self._problems:
            digest.update("\0".join((problem.id, *(image.key for image in problem.images))).encode() + b"\n")
        return digest.hexdigest()

    @cached_property
    def _problems(self) -> tuple[Problem, ...]:
        problems: list[Problem] = []
        seen: dict[str, Row] = {}
        self.bad_images.clear()
        for place, (row, columns) in enumerate(self._rows(), 1):
            problem = self._problem(row, columns, place)
            if problem is not None:
                if problem.id in seen:
                    raise DataError(
                        f"{row} has the id `{problem.id}` of {seen[problem.id]}; ids are unique. Mend the rows, or "
                        f"name another column as `id`."
                    )
                seen[problem.id] = row
                problems.append(problem)
            if len(problems) == self.config.limit:
                break
        if not problems:
            why = "all problems were skipped for a bad image" if self.bad_images else "no row of it is a problem"
            raise DataError(
                f"{self._files[0]}: the split `{self.config.split}` is empty: {why}. It needs one problem at least; "
                f"check `path` and `split`."
            )
        return tuple(problems)

    def _find(self, path: Path, split: str) -> list[Path]:
        """The files of the split. Raises `DataError`."""
        return data_files(path, split)

    def _open(self, file: Path) -> tuple[list[str], Iterable[Row]]:
        """The columns and the rows of one of them. Raises `DataError`."""
        return open_rows(file)

    def _rows(self) -> Iterator[tuple[Row, dict[str, str]]]:
        """Every row with the columns that its file has, by role. Raises `DataError` for a missing one."""
        for file in self._files:
            known, rows = self._open(file)
            columns = self._columns(file, known)
            for row in rows:
                yield row, columns

    def _columns(self, file: Path, known: list[str]) -> dict[str, str]:
        """Role -> column, for the roles that this file fills."""
        config = self.config
        wanted = {"question": config.question, "answer": config.answer}
        wanted |= {role: getattr(config, role) for role in OPTIONAL}
        wanted["images"] = config.images or ("images" if "images" in known or "image" not in known else "image")
        usual = pair_columns(known, config.model_fields_set)
        wanted |= usual
        needed = {"question", "answer"} - ({"question", "answer"} if usual else set())
        for role, column in list(wanted.items()):
            if column in known or not known:
                continue
            if role not in needed and role not in config.model_fields_set:
                del wanted[role]
                continue
            near = difflib.get_close_matches(column, known, n=1)
            raise DataError(
                f"{file} has no column `{column}`, which `{role}` names; it has {', '.join(f'`{k}`' for k in known)}."
                + (f' Did you mean `{role} = "{near[0]}"`?' if near else f" Set `{role}` to one of them.")
            )
        return wanted

    def _problem(self, row: Row, columns: dict[str, str], place: int) -> Problem | None:
        """The problem of a row, which is the split's `place`th; None when it is left out (a bad image)."""
        values = {role: row.values.get(column) for role, column in columns.items()}
        name = values.get("id")
        identity = self._unnamed(row, place) if name is None else text_of(row, columns["id"], name)
        images = self._images(row, identity, values.get("images"))
        if images is None:
            return None
        rest = {k: v for k, v in row.values.items() if k not in columns.values() and not holds_bytes(v)}
        optional = {
            role: (answer_of if isinstance(values[role], list) else text_of)(row, columns[role], values[role])
            for role in ("kind", "solution", "rejected", "cluster")
            if values.get(role) is not None
        }
        return Problem(
            id=identity,
            messages=messages(row, self._turns(row, columns, values), images),
            gold=text_of(row, columns["answer"], values["answer"]) if "answer" in columns else "",
            extra=rest,
            **optional,
        )

    def _turns(self, row: Row, columns: dict[str, str], values: dict[str, Any]) -> Turns:
        """The prompt: the question, or a conversation."""
        if "question" not in columns:
            return shared_prompt(row, values["solution"], values["rejected"])
        column, value = columns["question"], values["question"]
        return turns_of(row, column, value) if isinstance(value, list) else [("user", text_of(row, column, value))]

    def _unnamed(self, row: Row, place: int) -> str:
        """The id of a problem whose row has none."""
        return f"{row.file.stem}:{row.number}"

    def _images(self, row: Row, identity: str, value: Any) -> list[Image] | None:
        """The row's images, checked; None when one is bad and bad ones are skipped."""
        images = []
        for one in value if isinstance(value, list) else [] if value is None else [value]:
            try:
                source = self._source(row, one)
                images.append(Image(source.check(decode=self.config.on_bad_image != "error"), source.load))
            except DataError as error:
                if self.config.on_bad_image == "error":
                    raise
                self.bad_images[identity] = str(error)
                if self.config.on_bad_image == "skip":
                    return None
                images.append(Image("grey", grey))
        return images

    def _source(self, row: Row, value: Any) -> Source:
        """Where the bytes of one image are: a path, bytes, or the Hub's `{bytes, path}`."""
        if isinstance(value, dict):
            value = value.get("bytes") or value.get("path")
        if isinstance(value, bytes):
            return Source(str(row), value, self.config.max_pixels)
        if not isinstance(value, str) or not value:
            raise DataError(
                f"{row}: an image is a relative path, bytes or {{bytes, path}}, not {value!r:.80}. Mend the row."
            )
        folder = Path(self.config.image_folder).expanduser() if self.config.image_folder else row.file.parent
        if "\0" in value or Path(value).is_absolute() or Path(os.path.normpath(value)).parts[:1] == ("..",):
            raise DataError(
                f"{row}: the image path {value!r} leaves {folder}; paths are relative and stay inside. Set "
                f"`image_folder` to the folder that holds the images, and write paths from there."
            )
        return Source(str(row), folder / value, self.config.max_pixels)


def holds_bytes(value: Any) -> bool:
    """Whether a cell has bytes in it, at any depth."""
    if isinstance(value, dict | list):
        return any(map(holds_bytes, value.values() if isinstance(value, dict) else value))
    return isinstance(value, bytes)


def text_of(row: Row, column: str, value: Any) -> str:
    """A cell as text: text or a number. Raises `DataError` for what is missing, empty or anything else."""
    if isinstance(value, bool) or not isinstance(value, str | int | float) or not str(value).strip():
        raise DataError(f"{row}: `{column}` is {value!r:.80}; it is text or a number, and not empty. Mend the row.")
    return str(value)


def messages(row: Row, turns: Turns, images: list[Image]) -> tuple[Message, ...]:
    """A prompt's turns with their images, each at its place, or all at the beginning of what the user says first."""
    texts = [text for _, text in turns]
    places = [text.count(PLACE) for text in texts]
    if not any(places):
        places[next((i for i, (role, _) in enumerate(turns) if role == "user"), 0)] = len(images)
    elif sum(places) != len(images):
        laid_out(row, "".join(texts), images)  # says so
    rest = iter(images)
    return tuple(
        Message(role, laid_out(row, text, [next(rest) for _ in range(count)]))
        for (role, text), count in zip(turns, places, strict=True)
    )


def laid_out(row: Row, question: str, images: list[Image]) -> tuple[Text | Image, ...]:
    """The question's text and images in order. Raises `DataError` when places and images differ in number."""
    texts = question.split(PLACE)
    if len(texts) == 1:
        return (*images, Text(question))
    if len(texts) - 1 != len(images):
        raise DataError(
            f"{row}: the question has {len(texts) - 1} `{PLACE}` and the row {len(images)} images; each image has one "
            f"place, or none is marked and images come first. Mend the row, or name the column as `images`."
        )
    parts: list[Text | Image] = []
    for text, image in zip(texts, [*images, None], strict=True):
        parts += [Text(text)] if text.strip() else []
        parts += [image] if image is not None else []
    return tuple(parts)
