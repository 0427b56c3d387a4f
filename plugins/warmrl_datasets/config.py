"""Settings of the dataset `files`."""

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
