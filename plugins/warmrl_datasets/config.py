"""Settings of the datasets."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, ValidationInfo, model_validator

from warmrl.api import ADDED, NOT_SEMANTIC, DatasetConfig

PIXELS = 178_956_970
"""Pillow refuses larger images whatever is asked of it (its decompression-bomb limit)."""


class FilesConfig(DatasetConfig):
    """Problems from JSONL, JSON or Parquet files, with images as files beside them or as bytes inside."""

    path: Annotated[str, Field(min_length=1, json_schema_extra=NOT_SEMANTIC)]
    """A `.jsonl`, `.json` (a list of objects) or `.parquet` file, or a folder with `SPLIT.jsonl`, `SPLIT.json`,
    `SPLIT.parquet` or Hub shards of the split."""
    image_folder: Annotated[str | None, Field(json_schema_extra=NOT_SEMANTIC)] = None
    """Where relative image paths start; by default the folder of the data file. Paths may not leave it."""
    id: str = "id"
    """Column of the problem's id; where there is none, ids are `STEM:ROW`, rows counted from 1."""
    question: str = "question"
    """Column of the question. Each `<image>` in it marks an image's place; without, images come first."""
    answer: str = "answer"
    """Column of the right answer: text or a number. Preference pairs need none."""
    images: str | None = None
    """Column of the image or images; by default `images`, or else `image`, if the file has one."""
    solution: str = "solution"
    """Column of a worked answer, if there is one: the better one of a preference pair. Where a file has `chosen` and
    `rejected`, by default `chosen`; and `question` is `prompt` if there is that. Prompts and answers may be
    conversations, as TRL has them."""
    rejected: Annotated[str, Field(json_schema_extra=ADDED)] = "rejected"
    """Column of the worse answer of a preference pair, if there is one."""
    kind: str = "kind"
    """Column of the kind of problem, which routes rewards, if there is one; `math` otherwise."""
    cluster: str = "cluster"
    """Column of what problems share (the unit of resampling), if there is one."""
    max_pixels: Annotated[int, Field(ge=1, le=PIXELS)] = 33_000_000
    """Largest image that is decoded, in pixels (33 M: 8K video); its size is read from the header first."""
    on_bad_image: Literal["error", "skip", "replace"] = "error"
    """What a missing, undecodable or too large image does: stop, leave the problem out, or be a grey square."""


class HubConfig(DatasetConfig):
    """What datasets of the Hub share: a local copy, or the Hub's at a commit."""

    official: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """What the table's `grader`, `second_opinion` and `style` are where it doesn't say."""

    path: Annotated[str | None, Field(min_length=1, json_schema_extra=NOT_SEMANTIC)] = None
    """Folder with the dataset's files as the Hub has them (`data/SPLIT-00000-of-00001.parquet`); by default they are
    fetched from the Hub once and taken from its cache after that."""
    data_revision: Annotated[str | None, Field(json_schema_extra=NOT_SEMANTIC)] = None
    """Commit, tag or branch on the Hub; the resolved recipe has the commit. A result is identified by the content."""
    max_pixels: Annotated[int, Field(ge=1, le=PIXELS)] = 33_000_000
    """Largest image that is decoded, in pixels; its size is read from the header first."""
    on_bad_image: Literal["error", "skip", "replace"] = "error"
    """What a missing, undecodable or too large image does: stop, leave the problem out, or be a grey square."""

    @model_validator(mode="before")
    @classmethod
    def _graded_officially(cls, table: Any, info: ValidationInfo) -> Any:
        """Fill in `official`, in a recipe: outside of one there is no registry to choose plugins from."""
        if isinstance(table, dict) and info.context and "registry" in info.context:
            return {**cls.official, **table}
        return table


class Geometry3KConfig(HubConfig):
    """Geometry problems with figures and free answers (hiyouga/geometry3k, from Inter-GPS, Lu et al. 2021; MIT)."""

    split: Literal["train", "validation", "test"] = "train"
    """2101, 300 and 601 problems."""


class MathVistaConfig(HubConfig):
    """Mathematics in pictures of every kind (AI4Math/MathVista, Lu et al. 2024, arXiv:2310.02255; CC BY-SA 4.0).

    Prompts are the official queries. As a suite it is graded by `mathvista`, the official score, with its strict form
    as second opinion, in the style `free`, unless the table says otherwise.
    """

    official: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "grader": {"use": "mathvista"},
        "second_opinion": {"use": "mathvista", "strict": True},
        "style": {"use": "free"},
    }

    split: Literal["testmini"] = "testmini"
    """1000 problems; the answers of the larger `test` are not public."""
    leave_out: list[str] = []
    """Sources (`metadata.source`) whose problems are left out: `["Geometry3K"]` drops the 62 that are no transfer for a
    policy trained on Geometry3K."""


Subject = Literal[
    "Accounting", "Agriculture", "Architecture_and_Engineering", "Art", "Art_Theory", "Basic_Medical_Science",
    "Biology", "Chemistry", "Clinical_Medicine", "Computer_Science", "Design",
    "Diagnostics_and_Laboratory_Medicine", "Economics", "Electronics", "Energy_and_Power", "Finance", "Geography",
    "History", "Literature", "Manage", "Marketing", "Materials", "Math", "Mechanical_Engineering", "Music",
    "Pharmacy", "Physics", "Psychology", "Public_Health", "Sociology",
]  # fmt: skip


class MMMUConfig(HubConfig):
    """College problems of thirty subjects with figures (MMMU/MMMU, Yue et al. 2024, arXiv:2311.16502; Apache-2.0).

    Prompts are the official ones. As a suite it is graded by `mmmu`, the official score but for its draws, with the
    expected value of those as second opinion, in the style `free`, unless the table says otherwise.
    """

    official: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "grader": {"use": "mmmu"},
        "second_opinion": {"use": "mmmu", "mode": "official_random"},
        "style": {"use": "free"},
    }

    split: Literal["dev", "validation"] = "validation"
    """150 and 900 problems; the answers of `test` are not public."""
    subjects: list[Subject] = []
    """Only these, by the names of their folders on the Hub; by default all that are there."""
    direct: bool = True
    """Ask for the letter, a word or a phrase directly, as officially; not for a policy that reasons first."""


class MegaBenchConfig(HubConfig):
    """505 tasks of every kind in pictures (TIGER-Lab/MEGA-Bench, Chen et al. 2025, arXiv:2410.10563; Apache-2.0).

    Tasks that rules score, as prompts of the official form; the mean over tasks, each counting once. As a suite it is
    graded by `mega_bench` in the style `free`, unless the table says otherwise.
    """

    official: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "grader": {"use": "mega_bench"},
        "second_opinion": {"use": "mega_bench"},  # its rules are its own: another grader has no opinion of them
        "style": {"use": "free"},
    }

    split: Literal["test"] = "test"
    """The one there is."""
    subset: Literal["core", "core_single_image"] = "core"
    """440 tasks with 6531 queries, or the 273 of them with one image."""
    media: Annotated[str | None, Field(min_length=1, json_schema_extra=NOT_SEMANTIC)] = None
    """Folder in which the dataset's data.zip was unpacked; by default `path`."""
    example_images: Annotated[int, Field(ge=0)] = 4
    """Most images of a task's worked example that are shown, as officially."""


class VlaaThinkingConfig(HubConfig):
    """Questions on pictures with worked answers (UCSC-VLAA/VLAA-Thinking, Chen et al. 2025, arXiv:2504.11468)."""

    split: Literal["sft", "grpo"] = "grpo"
    """126413 problems for fine-tuning, or 25195 others for reinforcement learning."""
    path: Annotated[str | None, Field(min_length=1, json_schema_extra=NOT_SEMANTIC)] = None
    """Folder with `VLAA-Thinking-SFT-126K.json` or `VLAA-Thinking-GRPO-25K.json`; by default the Hub's file."""
    image_folder: Annotated[str | None, Field(min_length=1, json_schema_extra=NOT_SEMANTIC)] = None
    """Where image paths start; by default `images` in `path`, or `path` itself."""
    held_out: Annotated[int, Field(ge=0)] = 0
    """How many rows at the end of the file are kept for evaluation."""
    part: Literal["train", "held_out"] = "train"
    """Which part of the split to read: what goes before the held-out rows, or those."""
    kinds: list[Literal["digit", "choice", "math", "iou", "open"]] = []
    """Take only problems of these kinds; by default all."""
    repeated_ids: Literal["error", "number"] = "error"
    """What a second row with the same id does: stop, or be `ID#2`."""
    on_bad_image: Literal["error", "skip", "replace", "text"] = "error"  # type: ignore[assignment]
    """What a bad or missing image does. `error` looks, before anything is trained, only whether the file is there (the
    rest stops where it is used); `skip` (leave the problem out), `replace` (a grey square) and `text` (ask without it)
    decode every image first, and a note with the scores says how many there were."""
    answer_tags: bool = True
    """In a trace, put what follows the reasoning into `<answer>` tags where it has none, for the style `tags`."""
