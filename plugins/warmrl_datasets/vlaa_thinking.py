"""The dataset `vlaa_thinking`: questions on pictures of nine kinds, with worked answers of a reasoning model."""

from __future__ import annotations

import hashlib
import re
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from warmrl.api import DataError, Dataset, Image, Message, Problem
from warmrl_datasets.config import VlaaThinkingConfig
from warmrl_datasets.files import PLACE, laid_out, text_of
from warmrl_datasets.hub import snapshot
from warmrl_datasets.pictures import Pictures
from warmrl_datasets.rows import Row, read_json

HUB_ID = "UCSC-VLAA/VLAA-Thinking"
COLUMNS = ("id", "image", "question", "gt", "ds_answer")
KINDS: Mapping[str, str] = {
    "clevr_math": "digit", "geoqa170k": "choice", "arxivqa": "choice", "synthesis": "math", "coco": "iou", "vg": "iou",
}  # fmt: skip
"""What the mixed reward of VLAA-Thinker (Chen et al. 2025, section 4.1) takes each source's answers for."""
FORMS: Mapping[str, re.Pattern[str]] = {
    "digit": re.compile(r"-?\d+"),
    "choice": re.compile(r"\(?[A-Za-z][).:]?"),
    "iou": re.compile(r"\D*(?:\d*\.?\d+\D+){3}\d*\.?\d+\D*"),
    "math": re.compile(r".*", re.DOTALL),
}
"""What an answer of a kind looks like."""
FINAL = "\u2020Answer:"
"""What goes before the answer at the end of the worked golds of `synthesis`."""


class VlaaThinking(Dataset[VlaaThinkingConfig]):
    """UCSC-VLAA/VLAA-Thinking: the image, then the question; the answer of the reasoning model is the `solution`.

    Ids are `vlaa_thinking:ID`. The kind is `digit`, `choice`, `math` or `iou` by the source (the first folder of the
    image's path) where the answer has that form, and `open` for every other; problems of one image are a cluster. The
    gold is `gt` (of `synthesis`, what follows its `†Answer:`). Captions and the rest of `meta` aren't kept. The file is
    read a row at a time. In a `solution`, what follows the reasoning is put into `<answer>` tags where it has none, so
    that the style `tags` finds it (`answer_tags`).
    """

    files: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "sft": ("VLAA-Thinking-SFT-126K.json", "train-sft.json"),
        "grpo": ("VLAA-Thinking-GRPO-25K.json", "train-grpo.json"),
    }
    """The file of a split on the Hub, and as the authors' README names it."""

    def __init__(self, config: VlaaThinkingConfig) -> None:
        super().__init__(config)
        self._commit: str | None = None
        self._left_out = self._text_alone = 0
        self._file = self._located()
        self._pictures = Pictures(
            self._image_folder(), config.on_bad_image, config.max_pixels, quick=config.on_bad_image == "error"
        )

    def problems(self) -> Sequence[Problem]:
        """Every problem of the part. Raises `DataError` naming file, row, rule and fix."""
        return self._problems

    def pinned(self) -> Mapping[str, str]:
        """The Hub's commit, when the file came from there."""
        return {"data_revision": self._commit} if self._commit else {}

    def fingerprint(self) -> str:
        """SHA-256 over the file's bytes and the ids and images of its problems."""
        with self._file.open("rb") as data:
            digest = hashlib.file_digest(data, "sha256")
        for problem in self._problems:
            digest.update("\0".join((problem.id, *(image.key for image in problem.images))).encode() + b"\n")
        return digest.hexdigest()

    def notes(self) -> Sequence[str]:
        """How many problems were left out, show a grey square or are text alone, for a bad image."""
        shown = sum(image.key == "grey" for problem in self._problems for image in problem.images)
        return self._pictures.notes(self._left_out or self._text_alone or shown)

    @cached_property
    def _problems(self) -> tuple[Problem, ...]:
        problems: list[Problem] = []
        counts = Counter[str]()
        self._left_out = self._text_alone = 0
        for row in self._part():
            problem = self._problem(row, counts)
            if problem is not None:
                problems.append(problem)
            if len(problems) == self.config.limit:
                break
        if not problems:
            why = "all its problems have bad images" if self._left_out else "no row of it is taken"
            raise DataError(
                f"{self._file}: the part `{self.config.part}` of the split `{self.config.split}` is empty: {why}. It "
                f"needs one problem at least; check `held_out`, `kinds` and the images."
            )
        return tuple(problems)

    def _part(self) -> Iterator[Row]:
        """The rows of the part: the last `held_out` ones, or those before them."""
        last = deque[Row]()
        for row in read_json(self._file):
            last.append(row_of(row))
            if len(last) > self.config.held_out:
                first = last.popleft()
                if self.config.part == "train":
                    yield first
        if self.config.part == "held_out":
            yield from last

    def _problem(self, row: Row, counts: Counter[str]) -> Problem | None:
        """The problem of a row; None when it is of another kind, or is left out for a bad image."""
        name = self._name(row, counts)
        path = row.values["image"]
        if path is not None and not isinstance(path, str):
            raise DataError(f"{row}: `image` is {path!r:.80}; it is the relative path of the image. Mend the row.")
        source = (path or "").lstrip("./").partition("/")[0]
        gold = gold_of(row)
        kind = kind_of(source, gold)
        if self.config.kinds and kind not in self.config.kinds:
            return None
        images: list[Image] = []
        question = text_of(row, "question", row.values["question"])
        if path:
            image = self._pictures.open(row, path)
            if image is None and self.config.on_bad_image == "skip":
                self._left_out += 1
                return None
            if image is None:
                self._text_alone += 1
                question = question.replace(PLACE, " ").strip()
            images = [] if image is None else [image]
        solution = None if row.values["ds_answer"] is None else text_of(row, "ds_answer", row.values["ds_answer"])
        return Problem(
            id=f"vlaa_thinking:{name}",
            messages=(Message("user", laid_out(row, question, images)),),
            gold=gold,
            kind=kind,
            solution=with_tags(solution) if solution and self.config.answer_tags else solution,
            cluster=path or None,
            extra={"source": source},
        )

    def _name(self, row: Row, counts: Counter[str]) -> str:
        """The row's id, numbered where it comes again. Raises `DataError`."""
        name = text_of(row, "id", row.values["id"])
        counts[name] += 1
        if counts[name] == 1:
            return name
        if self.config.repeated_ids == "error":
            raise DataError(
                f"{row} has the id `{name}`, which an earlier row has; ids are unique. Mend the rows, or set "
                f'`repeated_ids = "number"`: the second is then `{name}#2`.'
            )
        return f"{name}#{counts[name]}"

    def _located(self) -> Path:
        """The file of the split: in `path`, or the Hub's. Raises `DataError`."""
        names = self.files[self.config.split]
        if self.config.path:
            folder = Path(self.config.path).expanduser()
        else:
            folder = snapshot(HUB_ID, self.config.data_revision, [names[0]])
            self._commit = folder.name
        if folder.is_file():
            return folder
        found = [folder / name for name in names if (folder / name).is_file()]
        if not found:
            raise DataError(
                f"{folder} has no {' or '.join(names)}; `path` is a folder with the files of {HUB_ID} as the Hub has "
                f"them. Copy them there, or leave `path` out to fetch them."
            )
        return found[0]

    def _image_folder(self) -> Path:
        """Where the images' paths start. Raises `DataError`."""
        if self.config.image_folder:
            return Path(self.config.image_folder).expanduser()
        if not self.config.path:
            raise DataError(
                f"The images of {HUB_ID} come apart from its questions: unpack its images/*.tar.gz into a folder, "
                f"COCO's train2017 and Visual Genome beside them (coco/, vg/), and name that folder as `image_folder`."
            )
        inside = self._file.parent / "images"
        return inside if inside.is_dir() else self._file.parent


def row_of(row: Row) -> Row:
    """The row with the columns that are used. Raises `DataError` for a missing one."""
    for column in COLUMNS:
        if column not in row.values:
            has = ", ".join(f"`{name}`" for name in row.values)
            raise DataError(
                f"{row} has no column `{column}`; it has {has or 'none'}. A row of VLAA-Thinking has "
                f"{', '.join(f'`{name}`' for name in COLUMNS)}. Fetch the file again."
            )
    return Row(row.file, row.number, {column: row.values[column] for column in COLUMNS})


def gold_of(row: Row) -> str:
    """The right answer as text: a whole number without its `.0`, of a worked gold the end. Raises `DataError`."""
    value: Any = row.values["gt"]
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, list) and all(isinstance(number, int | float) for number in value):
        value = str(value)
    gold = text_of(row, "gt", value)
    return text_of(row, "gt", gold.rpartition(FINAL)[2]).strip()


def kind_of(source: str, gold: str) -> str:
    """The kind of a problem: its source's, if the answer has that form."""
    kind = KINDS.get(source, "open")
    return kind if kind != "open" and FORMS[kind].fullmatch(gold) else "open"


def with_tags(solution: str) -> str:
    """A trace whose answer, all that follows the reasoning, is in `<answer>` tags; one without reasoning as it is."""
    reasoning, end, answer = solution.rpartition("</think>")
    if not end or not answer.strip() or "<answer>" in answer:
        return solution
    return f"{reasoning}{end}\n<answer>{answer.strip()}</answer>"
