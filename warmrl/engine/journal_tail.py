"""Reads files that another process is writing, a little more at each look. Never writes, takes no lock. No torch."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# Bytes before the place that was read to: when they have changed, the file was cut back and written again.
EDGE = 64


@dataclass
class JournalTail:
    """The whole rows that were added to a journal since the last look; a torn last line waits for its end.

    With `most`, a first look reads only about so many bytes at the end. With `thin`, of more new rows than that it is
    every so manieth that is read, and the last: enough for a curve, and quick.
    """

    file: Path
    most: int | None = None
    thin: int | None = None
    _at: int = 0
    _edge: bytes = b""
    _seen: tuple[int, int, int] | None = None

    def more(self) -> tuple[bool, list[dict[str, Any]]]:
        """Whether what was read before no longer counts (a resumed run cuts its journals back), and the new rows."""
        try:
            with self.file.open("rb") as stream:
                about = os.fstat(stream.fileno())
                seen = (about.st_ino, about.st_size, about.st_mtime_ns)
                if seen == self._seen:
                    return False, []
                again = self._at > 0 and not self._continues(stream, about.st_size)
                if again:
                    self._at = 0
                skipped = self._at == 0 and self.most is not None and about.st_size > self.most
                stream.seek(about.st_size - self.most if skipped and self.most else self._at)
                text, start = stream.read(), stream.tell()
        except OSError:
            return self._gone(), []
        start -= len(text)
        first, end = text.find(b"\n") + 1 if skipped else 0, text.rfind(b"\n") + 1
        self._seen, self._at, self._edge = seen, start + end, text[:end][-EDGE:] or self._edge
        lines = text[first:end].splitlines()
        stride = -(-len(lines) // self.thin) if self.thin and lines else 1
        return again, rows_of([*lines[:-1:stride], *lines[-1:]])

    def _continues(self, stream: Any, size: int) -> bool:
        """Whether what comes before the place that was read to is still the same."""
        if size < self._at:
            return False
        stream.seek(self._at - len(self._edge))
        return stream.read(len(self._edge)) == self._edge

    def _gone(self) -> bool:
        """Forget a file that is no longer there; whether it was read from."""
        was = self._at > 0
        self._at, self._edge, self._seen = 0, b"", None
        return was


def rows_of(lines: Iterable[bytes]) -> list[dict[str, Any]]:
    """The rows of whole lines; a line that is no row is left out."""
    out = []
    for line in lines:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict):
            out.append(row)
    return out


@dataclass
class JsonFile:
    """A JSON object that another process replaces whole; read again only when it was."""

    file: Path
    known: dict[str, Any] = field(default_factory=dict)
    _seen: tuple[int, int, int] | None = None

    def read(self) -> bool:
        """Whether there is something new in `known`. What cannot be read changes nothing."""
        try:
            about = self.file.stat()
            seen = (about.st_ino, about.st_size, about.st_mtime_ns)
            if seen == self._seen:
                return False
            found = json.loads(self.file.read_bytes())
        except (OSError, ValueError):
            return False
        self._seen = seen
        if isinstance(found, dict):
            self.known = found
        return isinstance(found, dict)

    def changed_at(self) -> float:
        """When it was last replaced, in seconds since 1970; 0 where it isn't there."""
        return self._seen[2] / 1e9 if self._seen else 0.0


@dataclass
class BlockCount:
    """How many answers an evaluation has drawn: the lines of its finished blocks, each counted once."""

    folder: Path
    _lines: dict[str, int] = field(default_factory=dict)
    newest: float = 0.0
    """When the newest block was finished, in seconds since 1970."""

    def count(self) -> int:
        """Answers that are there now."""
        try:
            with os.scandir(self.folder) as found:
                new = [
                    one
                    for one in found
                    if one.name.startswith("block-") and one.name.endswith(".jsonl") and one.name not in self._lines
                ]
                for one in new:
                    self._lines[one.name] = Path(one.path).read_bytes().count(b"\n")
                    self.newest = max(self.newest, one.stat().st_mtime)
        except OSError:
            pass
        return sum(self._lines.values())
