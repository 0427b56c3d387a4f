"""Append-only JSON lines whose length is part of a checkpoint, so that a resumed run continues them exactly."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from warmrl.engine.storage import storing, sync


class Journal:
    """One `.jsonl` file of a stage. `mark` says how far it goes; `rewind` cuts it back to a mark."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.bytes = 0
        self._hash = hashlib.sha256()
        file.parent.mkdir(parents=True, exist_ok=True)

    def mark(self) -> list[Any]:
        """Length in bytes and SHA-256 of what was written so far, now on the disk: for a checkpoint."""
        if self.file.exists():
            with storing(self.file):
                sync(self.file)
        return [self.bytes, self._hash.hexdigest()]

    def matches(self, mark: list[Any]) -> bool:
        """Whether the file still begins with what it held at `mark`."""
        try:
            head = self.file.read_bytes()[: mark[0]]
        except FileNotFoundError:
            head = b""
        return len(head) == mark[0] and hashlib.sha256(head).hexdigest() == mark[1]

    def rewind(self, mark: list[Any] | None) -> None:
        """Cut the file back to `mark` (None: to nothing); rows written after it are made again."""
        length = mark[0] if mark else 0
        with storing(self.file):
            self.file.touch()
            with self.file.open("r+b") as stream:
                head = stream.read(length)
                stream.truncate(length)
        self.bytes, self._hash = length, hashlib.sha256(head)

    def append(self, row: dict[str, Any]) -> None:
        """Write one row. Raises ValueError on NaN: no number that is none enters a journal."""
        line = (json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n").encode()
        with storing(self.file), self.file.open("ab") as stream:
            stream.write(line)
        self.bytes += len(line)
        self._hash.update(line)

    def rows(self) -> list[dict[str, Any]]:
        """Every whole row of the file; a torn last line is left out."""
        if not self.file.exists():
            return []
        text = self.file.read_bytes()
        return [json.loads(line) for line in text[: text.rfind(b"\n") + 1].splitlines()]
