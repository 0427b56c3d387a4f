"""Reads the rows of a file that another tool wrote: JSONL, JSON, TSV, CSV or XLSX, recognised by content. No torch."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from warmrl.domain.errors import UsageError

CELL = 2**31 - 1
"""Most characters of a cell; csv's own limit of 131 072 is shorter than some completions."""
PICKLES = (".pkl", ".pickle")


@dataclass(frozen=True)
class Row:
    """One row: the file it is in, its number (from 1; in JSONL the line, in tables without the header), its values."""

    file: Path
    number: int
    values: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.file}, row {self.number}"


def rows_of(file: Path) -> Iterator[Row]:
    """The rows of a file, as they are read. Raises `UsageError` naming file, row, rule and fix."""
    try:
        with file.open("rb") as stream:
            head = stream.read(65536)
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}. Give the path of a file of samples.") from None
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if file.suffix in PICKLES or head[:1] == b"\x80":
        raise UsageError(
            f"{file} is a pickle, which runs code when it is read, so it is never opened. Convert it where it was "
            "made and you trust it: VLMEvalKit writes TSV with PRED_FORMAT=tsv, and of a pickled table "
            '`pandas.read_pickle(file).to_json("samples.json", orient="records")` makes JSON.'
        )
    if head[:4] == b"PK\x03\x04":
        return from_workbook(file)
    if not start:
        raise UsageError(f"{file} is empty; a file of samples has a row per answer.")
    if start[:1] == b"[":
        return from_array(file)
    if start[:1] == b"{":
        return from_lines(file)
    return from_table(file)


def from_lines(file: Path) -> Iterator[Row]:
    """One JSON object a line; blank lines are passed over."""
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            text = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
            if text.strip():
                yield Row(file, number, decoded(file, number, text))


def decoded(file: Path, number: int, line: bytes) -> dict[str, Any]:
    """The object of a line."""
    try:
        values = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"{file}, row {number} is not JSON ({error}); a file of samples has one object a line, or is one list of "
            "objects. Mend the line, or write the file again: one that was cut off ends like this."
        ) from None
    return checked(file, number, values)


def checked(file: Path, number: int, values: Any) -> dict[str, Any]:
    """A row's values, which are an object."""
    if not isinstance(values, dict):
        raise UsageError(f"{file}, row {number} is a {type(values).__name__}; each row is an object of named values.")
    return values


def from_array(file: Path) -> Iterator[Row]:
    """The objects of one JSON list."""
    try:
        values = json.loads(file.read_bytes().removeprefix(b"\xef\xbb\xbf"))
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"{file} is not JSON ({error}); it begins as a list of objects. Write it again: a file that was cut off "
            "ends like this."
        ) from None
    for number, one in enumerate(values, 1):
        yield Row(file, number, checked(file, number, one))


def from_table(file: Path) -> Iterator[Row]:
    """The rows of a table with a header, its cells parted by tabs or commas."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            header = stream.readline()
            if "\t" not in header and "," not in header:
                raise UsageError(
                    f"{file}, row 1 is neither JSON nor a table's header ({header[:60]!r}); samples come as JSONL, "
                    "JSON, TSV, CSV or XLSX (docs/samples.md). Convert the file to one of them."
                )
            stream.seek(0)
            limit = csv.field_size_limit(CELL)
            try:
                reader = csv.reader(stream, delimiter="\t" if "\t" in header else ",", strict=True)
                yield from cells(file, reader)
            finally:
                csv.field_size_limit(limit)
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{file} is no table of UTF-8 text ({error}). Convert it, or write it again.") from None


def from_workbook(file: Path) -> Iterator[Row]:
    """The rows of the first sheet of an XLSX file."""
    try:
        from openpyxl import load_workbook  # type: ignore[import-untyped,unused-ignore]
    except ImportError:
        raise UsageError(
            f"{file} is a workbook (XLSX), which is read with openpyxl, and that is not installed. Install it, or "
            "write the predictions as TSV (PRED_FORMAT=tsv in VLMEvalKit): a workbook cuts long answers off."
        ) from None
    try:
        book = load_workbook(file, read_only=True, data_only=True)
        rows = [list(row) for row in book.worksheets[0].iter_rows(values_only=True)]
        book.close()
    except Exception as error:
        raise UsageError(f"{file} is no whole workbook ({type(error).__name__}: {error}). Write it again.") from None
    yield from cells(file, iter(rows))


def cells(file: Path, lines: Iterator[list[Any]]) -> Iterator[Row]:
    """Rows by the names of the header, which is the first line."""
    header = ["" if one is None else str(one) for one in next(lines, [])]
    for number, line in enumerate(lines, 1):
        if any(one not in (None, "") for one in line):
            if len(line) != len(header):
                raise UsageError(
                    f"{file}, row {number} has {len(line)} cells and the header {len(header)}; each row has one for "
                    "each column. Write the file again with every cell quoted."
                )
            yield Row(file, number, dict(zip(header, line, strict=True)))
