"""Settings of the datasets."""

from typing import Annotated, Literal

from pydantic import Field

from warmrl.api import NOT_SEMANTIC, DatasetConfig

PIXELS = 178_956_970
"""Pillow refuses larger images whatever is asked of it (its decompression-bomb limit)."""


class FilesConfig(DatasetConfig):
    """Problems from JSONL or Parquet files, with images as files beside them or as bytes inside."""

    path: Annotated[str, Field(min_length=1, json_schema_extra=NOT_SEMANTIC)]
    """A `.jsonl` or `.parquet` file, or a folder with `SPLIT.jsonl`, `SPLIT.parquet` or Hub shards of the split."""
    image_folder: Annotated[str | None, Field(json_schema_extra=NOT_SEMANTIC)] = None
    """Where relative image paths start; by default the folder of the data file. Paths may not leave it."""
    id: str = "id"
    """Column of the problem's id; where there is none, ids are `STEM:ROW`, rows counted from 1."""
    question: str = "question"
    """Column of the question. Each `<image>` in it marks an image's place; without, images come first."""
    answer: str = "answer"
    """Column of the right answer: text or a number."""
    images: str | None = None
    """Column of the image or images; by default `images`, or else `image`, if the file has one."""
    solution: str = "solution"
    """Column of a worked answer, if there is one."""
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

    path: Annotated[str | None, Field(min_length=1, json_schema_extra=NOT_SEMANTIC)] = None
    """Folder with the dataset's files as the Hub has them (`data/SPLIT-00000-of-00001.parquet`); by default they are
    fetched from the Hub once and taken from its cache after that."""
    data_revision: Annotated[str | None, Field(json_schema_extra=NOT_SEMANTIC)] = None
    """Commit, tag or branch on the Hub; the resolved recipe has the commit. A result is identified by the content."""
    max_pixels: Annotated[int, Field(ge=1, le=PIXELS)] = 33_000_000
    """Largest image that is decoded, in pixels; its size is read from the header first."""


class Geometry3KConfig(HubConfig):
    """Geometry problems with figures and free answers (hiyouga/geometry3k, from Inter-GPS, Lu et al. 2021; MIT)."""

    split: Literal["train", "validation", "test"] = "train"
    """2101, 300 and 601 problems."""


class MathVistaConfig(HubConfig):
    """Mathematics in pictures of every kind (AI4Math/MathVista, Lu et al. 2024, arXiv:2310.02255; CC BY-SA 4.0).

    Prompts are the official queries. Graded by the reward `math` it is stricter than the official score, which extracts
    answers with a language model, takes the nearest choice and rounds numbers first; no figure to set beside theirs.
    """

    split: Literal["testmini"] = "testmini"
    """1000 problems; the answers of the larger `test` are not public."""
    leave_out: list[str] = []
    """Sources (`metadata.source`) whose problems are left out: `["Geometry3K"]` drops the 62 that are no transfer for a
    policy trained on Geometry3K."""
