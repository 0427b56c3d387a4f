"""Replies on the disk, by what was asked; several runs may share a folder. A torn or changed entry counts as none."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from warmrl.api import StorageError


class Cache:
    """JSON values under the hash of what they answer. `folder` None keeps nothing."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def through(self, asked: Mapping[str, Any], make: Callable[[], Any]) -> Any:
        """The value for `asked` (JSON values; never an address, a key or a deadline), made when it is not there."""
        if self.folder is None:
            return make()
        name = digest(asked)
        file = self.folder / name[:2] / f"{name}.json"
        found = self._read(file)
        if found is None:
            found = make()
            self._write(file, found)
        return found

    def _read(self, file: Path) -> Any | None:
        try:
            entry = json.loads(file.read_bytes())
            return entry["value"] if entry["sha256"] == digest(entry["value"]) else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _write(self, file: Path, value: Any) -> None:
        """In one step. Not synced: what a power cut tears is asked again."""
        aside = file.with_name(f".tmp-{file.name}-{os.getpid()}-{threading.get_ident()}")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            aside.write_text(json.dumps({"sha256": digest(value), "value": value}), encoding="utf-8")
            aside.replace(file)
        except OSError as error:
            raise StorageError(
                f"Writing the teacher's reply to {file} failed: {error.strerror or error}. Make room, or set another "
                "`teacher.cache_folder` or `teacher.cache = false`."
            ) from error


def digest(value: Any) -> str:
    """SHA-256 of a JSON value, one spelling for each."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, allow_nan=False).encode()).hexdigest()
