"""The dataset `mega_bench`: tasks of every kind in pictures, each with rules of its own for its answers."""

from __future__ import annotations

import ast
import hashlib
import json
import mimetypes
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from warmrl.api import DataError, Dataset, Image, Message, Problem, Text
from warmrl_datasets.config import MegaBenchConfig
from warmrl_datasets.files import text_of
from warmrl_datasets.hub import snapshot
from warmrl_datasets.mega_bench_rules import left_out
from warmrl_datasets.pictures import Pictures
from warmrl_datasets.rows import Row, data_files, open_rows

HUB_ID = "TIGER-Lab/MEGA-Bench"
COLUMNS = (
    "id", "task_name", "task_description", "global_media", "example_text", "example_media", "query_text", "query_media",
    "answer", "metric_info", "eval_context",
)  # fmt: skip
PARTS = (("task_description", "global_media"), ("example_text", "example_media"), ("query_text", "query_media"))
"""The three parts of a prompt: text with places, and the files that go there."""
PLACE = re.compile(r"(<image>|<video>)")
LONGEST = 5_000_000
"""Characters of the longest literal that is read."""
PROBLEM_KIND = "mega_bench"


class MegaBench(Dataset[MegaBenchConfig]):
    """TIGER-Lab/MEGA-Bench: task description, worked example and query, with their images where they are marked.

    Ids are `mega_bench:ID`, clusters the tasks, and the weight of a problem is one over the problems of its task here,
    so that a mean over problems is the mean over tasks. `Problem.extra` has what the reward `mega_bench` needs (`task`,
    `metric_info`, `answer`, `eval_context`); the gold is the right answer as a model would write it.

    Left out, and named in `notes`: tasks whose rules aren't scored (`mega_bench_rules`), and queries with a video.
    """

    def __init__(self, config: MegaBenchConfig) -> None:
        super().__init__(config)
        self._commit: str | None = None
        self._unscored: dict[str, Counter[str]] = {}
        self._videos = Counter[str]()
        self._bad = 0
        self._files = self._located()
        self._pictures = Pictures(self._media_folder(), config.on_bad_image, config.max_pixels)

    def problems(self) -> Sequence[Problem]:
        """Every query that is scored, in the order of the file. Raises `DataError` naming file, row, rule and fix."""
        return self._problems

    def pinned(self) -> Mapping[str, str]:
        """The Hub's commit, when the files came from there."""
        return {"data_revision": self._commit} if self._commit else {}

    def fingerprint(self) -> str:
        """SHA-256 over the bytes of the data files and of every image that a problem has."""
        digest = hashlib.sha256()
        for file in self._files:
            with file.open("rb") as data:
                digest.update(hashlib.file_digest(data, "sha256").digest())
        for problem in self._problems:
            digest.update("\0".join((problem.id, *(image.key for image in problem.images))).encode() + b"\n")
        return digest.hexdigest()

    def notes(self) -> Sequence[str]:
        """What isn't scored, and why: tasks by rule, queries with videos, bad images."""
        shown = sum(any(image.key == "grey" for image in problem.images) for problem in self._problems)
        tasks = {problem.cluster for problem in self._problems}
        sentences = [f"{len(self._problems)} queries of {len(tasks)} tasks are scored; the mean is over tasks."]
        for why, counts in sorted(self._unscored.items()):
            sentences.append(f"Not scored, {why}: {counted(counts)}.")
        if self._videos:
            sentences.append(f"Not scored, for their videos: {counted(self._videos)}.")
        return [*sentences, *self._pictures.notes(self._bad or shown)]

    @cached_property
    def _problems(self) -> tuple[Problem, ...]:
        problems: list[Problem] = []
        seen: dict[str, Row] = {}
        self._unscored.clear()
        self._videos.clear()
        self._bad = 0
        for row in self._rows():
            problem = self._problem(row)
            if problem is None:
                continue
            if problem.id in seen:
                raise DataError(
                    f"{row} has the id `{row.values['id']}` of {seen[problem.id]}; ids are unique. Mend the rows, or "
                    f"fetch the dataset again."
                )
            seen[problem.id] = row
            problems.append(problem)
            if len(problems) == self.config.limit:
                break
        if not problems:
            raise DataError(
                f"{self._files[0]}: no query of it can be scored ({' '.join(self.notes_of_none())}). Check `path`, "
                f"`subset` and the images."
            )
        counts = Counter(problem.cluster for problem in problems)
        return tuple(replace(problem, weight=1 / counts[problem.cluster]) for problem in problems)

    def notes_of_none(self) -> list[str]:
        """Why there may be no problem at all."""
        left = sum(sum(counts.values()) for counts in self._unscored.values())
        return [f"{left} by their rules, {sum(self._videos.values())} for videos, {self._bad} for bad images left out"]

    def _rows(self) -> Iterator[Row]:
        """Every row. Raises `DataError` for a missing column."""
        for file in self._files:
            known, rows = open_rows(file)
            missing = [column for column in COLUMNS if column not in known]
            if missing:
                raise DataError(
                    f"{file} has no column `{missing[0]}`; it has {', '.join(f'`{name}`' for name in known)}. A file "
                    f"of MEGA-Bench has {', '.join(f'`{name}`' for name in COLUMNS)}. Fetch it again."
                )
            yield from rows

    def _problem(self, row: Row) -> Problem | None:
        """The problem of a row; None when it isn't scored, or is left out for a bad image."""
        task = text_of(row, "task_name", row.values["task_name"])
        info = literal(row, "metric_info", dict)
        if why := left_out(info):
            self._unscored.setdefault(why, Counter())[task] += 1
            return None
        media = {column: literal(row, column, list) for _, column in PARTS}
        if any(is_video(file) for files in media.values() for file in files):
            self._videos[task] += 1
            return None
        answer = answer_of(row, info)
        parts = self._parts(row, media)
        if parts is None:
            self._bad += 1
            return None
        context = literal(row, "eval_context", dict)
        return Problem(
            id=f"mega_bench:{text_of(row, 'id', row.values['id'])}",
            messages=(Message("user", parts),),
            gold=gold_of(row, answer, info, context),
            kind=PROBLEM_KIND,
            cluster=task,
            extra={"task": task, "metric_info": info, "answer": answer, "eval_context": context},
        )

    def _parts(self, row: Row, media: Mapping[str, list[Any]]) -> tuple[Text | Image, ...] | None:
        """The prompt in order, neighbouring texts on lines of their own; None when an image is bad and skipped."""
        parts: list[Text | Image] = []
        for text, column in PARTS:
            chunks = PLACE.split(row.values[text] or "")
            files = media[column]
            if len(chunks) // 2 != len(files):
                raise DataError(
                    f"{row}: `{text}` marks {len(chunks) // 2} places and `{column}` has {len(files)} files; each file "
                    f"has one `<image>`. Fetch the dataset again."
                )
            for index, chunk in enumerate(chunks):
                if index % 2 == 0:
                    add_text(parts, chunk.strip())
                    continue
                if column == "example_media" and index // 2 >= self.config.example_images:
                    continue
                image = self._pictures.open(row, text_of(row, column, files[index // 2]))
                if image is None:
                    return None
                parts.append(image)
        if not any(isinstance(part, Text) for part in parts):
            raise DataError(f"{row}: description, example and query have no text. Fetch the dataset again.")
        return tuple(parts)

    def _located(self) -> list[Path]:
        """The files of the subset: in `path`, or the Hub's. Raises `DataError`."""
        if self.config.path:
            folder = Path(self.config.path).expanduser()
        else:
            folder = snapshot(HUB_ID, self.config.data_revision, [f"{self.config.subset}/test-*.parquet"])
            self._commit = folder.name
        inside = folder / self.config.subset
        if inside.is_dir():
            return data_files(inside, self.config.split)
        named = [folder / f"{self.config.subset}{suffix}" for suffix in (".json", ".jsonl", ".parquet")]
        return [file for file in named if file.is_file()][:1] or data_files(folder, self.config.split)

    def _media_folder(self) -> Path:
        """Where the media's paths start. Raises `DataError`."""
        if self.config.media:
            return Path(self.config.media).expanduser()
        if not self.config.path:
            raise DataError(
                f"The images of {HUB_ID} are in its data.zip: unpack it, and name the folder in which it was unpacked "
                f"as `media`."
            )
        folder = Path(self.config.path).expanduser()
        return folder.parent if folder.is_file() else folder


def counted(counts: Counter[str]) -> str:
    """How many queries of how many tasks, and their names."""
    return f"{counts.total()} queries of {len(counts)} tasks ({', '.join(sorted(counts))})"


def add_text(parts: list[Text | Image], text: str) -> None:
    """Put a text at the end, on a line of its own after another text."""
    if not text:
        return
    if parts and isinstance(parts[-1], Text):
        text = f"{parts.pop().text}\n{text}"  # type: ignore[union-attr]
    parts.append(Text(text))


def is_video(path: Any) -> bool:
    """Whether a file is a video, by its name."""
    return (mimetypes.guess_type(str(path))[0] or "").startswith("video")


def literal(row: Row, column: str, kind: type) -> Any:
    """A cell's Python or JSON literal, a list or a dict; an empty cell is an empty one. Raises `DataError`."""
    text = row.values[column]
    if text is None or text == "":
        return kind()
    found = text
    if isinstance(text, str):
        if len(text) > LONGEST:
            raise DataError(f"{row}: `{column}` has {len(text):,} characters; the cap is {LONGEST:,}. Mend the row.")
        try:
            found = ast.literal_eval(text)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            found = from_json(text)
    if not isinstance(found, kind) or not is_json(found):
        raise DataError(
            f"{row}: `{column}` is {text!r:.120}; it is a {kind.__name__} written as Python or JSON has it. Fetch the "
            f"dataset again."
        )
    return found


def is_json(value: Any) -> bool:
    """Whether JSON can hold it: graders get it in processes of their own."""
    try:
        json.dumps(value)
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def from_json(text: str) -> Any:
    """The value of a JSON text; None when it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def answer_of(row: Row, info: Mapping[str, Any]) -> dict[str, Any]:
    """The right value of each field. Raises `DataError` where a field has no rule, or one answer has several fields."""
    answer = literal(row, "answer", dict)
    named = [field for field in answer if not field.startswith("##")]
    one = info["response_parse_function"] == "json" or len(named) == 1
    if not one or not answer or not all(field in info["field_score_function"] for field in answer):
        raise DataError(
            f"{row}: `answer` is {answer!r:.120}; each field has a rule in `metric_info`, and there is one unless "
            f"the response is `json`. Fetch the dataset again."
        )
    return answer


def gold_of(row: Row, answer: Mapping[str, Any], info: Mapping[str, Any], context: Mapping[str, Any]) -> str:
    """The right answer as a model would write it: one field's value, or the dict of them. Raises `DataError`."""
    said = dict(answer)
    for field, rule in info["field_score_function"].items():
        if field in said and rule == "multi_ref_phrase":
            said[field] = first_phrase(said[field])
        elif field in said and rule == "xml_norm_point_in_bbox":
            said[field] = middle(row, context)
    gold = str(next(iter(said.values()))) if len(said) == 1 else str(said)
    return gold if gold.strip() else repr(gold)


def first_phrase(value: Any) -> Any:
    """The first of several phrases that are all right."""
    try:
        found = ast.literal_eval(value)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        found = str(value).strip("[](){} ").replace("\uff0c", ",").split(",")
    return str(found[0]) if isinstance(found, list | tuple) and found else value


def middle(row: Row, context: Mapping[str, Any]) -> str:
    """The middle of the first box that a point may be in. Raises `DataError`."""
    boxes = context.get("bounding_boxes")
    found = from_json(str(boxes[0]).replace("(", "[").replace(")", "]")) if isinstance(boxes, list) and boxes else None
    if not isinstance(found, list) or len(found) != 4:
        raise DataError(f"{row}: `eval_context` is {context!r:.120}; it has `bounding_boxes`. Fetch the dataset again.")
    left, top, right, bottom = map(float, found)
    return f"<point>{(left + right) / 2}, {(top + bottom) / 2}</point>"
