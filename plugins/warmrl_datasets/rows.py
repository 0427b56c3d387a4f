"""Reads the rows of JSONL, JSON and Parquet files, and names file and row of what can't be read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from warmrl.api import DataError

SUFFIXES = (".jsonl", ".json", ".parquet")
GAP = re.compile(r"[\s,]*")
CHUNK = 2**20
"""Characters of a JSON list that are read at once."""


@dataclass(frozen=True)
class Row:
    """One row: the file it is in, its number (from 1; in JSONL the line), and its values by column."""

    file: Path
    number: int
    values: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.file}, row {self.number}"


def data_files(path: Path, split: str) -> list[Path]:
    """The files of a split, in order. Raises `DataError` when there are none, or two answers."""
    if path.is_file():
        if path.suffix not in SUFFIXES:
            raise DataError(f"{path}: a data file ends in `.jsonl`, `.json` or `.parquet`; convert or rename this one.")
        return [path]
    if not path.is_dir():
        raise DataError(f"{path} does not exist; `path` is a data file, or a folder with one for each split.")
    found = [path / f"{split}{suffix}" for suffix in SUFFIXES if (path / f"{split}{suffix}").is_file()]
    if len(found) > 1:
        raise DataError(f"{path} holds both {found[0].name} and {found[1].name}; name the one you mean as `path`.")
    if not found:
        shards = {folder: sorted(folder.glob(f"{split}-*-of-*.parquet")) for folder in (path, path / "data")}
        found = next((files for files in shards.values() if files), [])
    if not found:
        there = sorted({one.name for one in path.iterdir() if one.suffix in SUFFIXES})
        raise DataError(
            f"{path} has no split `{split}`: looked for {split}.jsonl, {split}.json, {split}.parquet and "
            f"{split}-00000-of-00001.parquet (here and in data/); there is {', '.join(there) or 'no data file'}."
        )
    missing = shards_missing(found)
    if missing:
        raise DataError(
            f"{path} has {len(found)} files of the split `{split}` and not {missing[0]}, which the name of "
            f"{found[0].name} says there is; fetch or copy the rest."
        )
    return found


def shards_missing(files: Sequence[Path]) -> list[str]:
    """Names of files that are not among those of a split, by the number in their names (`train-00000-of-00002`)."""
    names = {file.name for file in files}
    wanted = []
    for name in names:
        if numbered := re.fullmatch(r"(.*-)\d{5}(-of-(\d{5}).*)", name):
            wanted += [f"{numbered[1]}{number:05d}{numbered[2]}" for number in range(int(numbered[3]))]
    return sorted(set(wanted) - names)


def open_rows(file: Path) -> tuple[list[str], Iterable[Row]]:
    """The columns and the rows of one file. Raises `DataError`, for Parquet also while rows are read.

    The columns of JSONL and of a JSON list are the union over its rows. Parquet is read a batch at a time.
    """
    if file.suffix == ".parquet":
        with explained(file):
            from pyarrow import parquet

            return parquet.read_schema(file).names, read_parquet(file)
    rows = list(read_json(file) if file.suffix == ".json" else read_jsonl(file))
    return list(dict.fromkeys(column for row in rows for column in row.values)), rows


def read_jsonl(file: Path) -> Iterator[Row]:
    """One JSON object a line; blank lines are passed over."""
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                values = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise DataError(
                    f"{file}, row {number} is not JSON ({error}); a JSONL file has one object a line. Mend the line."
                ) from None
            if not isinstance(values, dict):
                raise DataError(
                    f"{file}, row {number} is a {type(values).__name__}; each line is an object of columns. Mend it."
                )
            yield Row(file, number, values)


def read_json(file: Path) -> Iterator[Row]:
    """The objects of a JSON list, one at a time, however long it is. Raises `DataError` at the first that is none."""
    decoder, number, place, step = json.JSONDecoder(), 0, 0, CHUNK
    with file.open(encoding="utf-8-sig") as data:
        try:
            text = data.read(step).lstrip()
            if not text.startswith("["):
                raise DataError(
                    f"{file} is no JSON list; a `.json` data file is a list of objects. Mend or convert it."
                )
            text, place = text[1:], 0
            while True:
                place = GAP.match(text, place).end()  # type: ignore[union-attr]
                try:
                    if text[place : place + 1] == "]":
                        return
                    values, place = decoder.raw_decode(text, place)
                except json.JSONDecodeError:
                    more = data.read(step)
                    if not more:
                        raise
                    text, place, step = text[place:] + more, 0, 2 * step
                    continue
                step, number = CHUNK, number + 1
                if not isinstance(values, dict):
                    raise DataError(
                        f"{file}, row {number} is a {type(values).__name__}; each is an object of columns. Mend it."
                    )
                yield Row(file, number, values)
        except (ValueError, RecursionError) as error:
            raise DataError(
                f"{file}, row {number + 1} is not JSON ({error}); a `.json` data file is a list of objects. Mend it."
            ) from None


def read_parquet(file: Path) -> Iterator[Row]:
    """The rows of a Parquet file."""
    from pyarrow import parquet

    with explained(file), parquet.ParquetFile(file) as table:
        number = 0
        for batch in table.iter_batches(batch_size=64):
            for values in batch.to_pylist():
                number += 1
                yield Row(file, number, values)


@contextmanager
def explained(file: Path) -> Iterator[None]:
    """Turn what pyarrow raises into a `DataError` that names the file."""
    import pyarrow

    try:
        yield
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{file} is not a whole Parquet file ({error}). Fetch or write it again.") from None
