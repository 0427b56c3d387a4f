"""Replies on the disk, by what was asked; several runs may share a folder. A torn or changed entry counts as none."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from warmrl.domain.errors import StorageError
from warmrl.domain.problem import Image, Message


class Cache:
    """JSON values under the hash of what they answer. `folder` None keeps nothing."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def through(self, asked: Mapping[str, Any], make: Callable[[], Any]) -> Any:
        """The value for `asked` (JSON values; never an address, a key or a deadline), made when it is not there."""
        found = self.read(asked)
        if found is None:
            found = make()
            self.write(asked, found)
        return found

    def read(self, asked: Mapping[str, Any]) -> Any | None:
        """The value for `asked`; None when it is not there."""
        if self.folder is None:
            return None
        try:
            entry = json.loads(self._file(self.folder, asked).read_bytes())
            return entry["value"] if entry["sha256"] == digest(entry["value"]) else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, asked: Mapping[str, Any], value: Any) -> None:
        """In one step. Not synced: what a power cut tears is asked again."""
        if self.folder is None:
            return
        file = self._file(self.folder, asked)
        aside = file.with_name(f".tmp-{file.name}-{os.getpid()}-{threading.get_ident()}")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            aside.write_text(json.dumps({"sha256": digest(value), "value": value}), encoding="utf-8")
            aside.replace(file)
        except OSError as error:
            raise StorageError(
                f"Writing the teacher's reply to {file} failed: {error.strerror or error}. Make room; what a server "
                "replies can also go to another `cache_folder`, or nowhere (`cache = false`)."
            ) from error

    def _file(self, folder: Path, asked: Mapping[str, Any]) -> Path:
        name = digest(asked)
        return folder / name[:2] / f"{name}.json"


def digest(value: Any) -> str:
    """SHA-256 of a JSON value, one spelling for each."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, allow_nan=False).encode()).hexdigest()


def identity(messages: Sequence[Message]) -> list[Any]:
    """What a prompt is, as JSON values: roles, texts and the images' keys."""
    return [
        [m.role, [["image", p.key] if isinstance(p, Image) else ["text", p.text] for p in m.parts]] for m in messages
    ]
