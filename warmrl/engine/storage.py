"""Writing so that a kill, a full disk or a flipped bit is noticed and never costs what was published before.

A *sealed folder* is written aside, synced, closed by a manifest of hashes, then renamed into place: a folder that
is there and matches its manifest is whole; anything else is named and passed over.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from warmrl.domain.errors import StorageError, UsageError

MANIFEST = "manifest.json"
# Below this much free space a run does not start: room for a few checkpoints of a small model and its journals.
LEAST_FREE_BYTES = 64 * 2**20


def canonical(value: Any) -> str:
    """JSON with one spelling per value, for hashing. Raises ValueError on NaN and infinities."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def sha256(file: Path) -> str:
    """SHA-256 of a file's bytes."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def storing(what: Path) -> Iterator[None]:
    """Turn a failed write into a `StorageError` that says what still stands."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        # safetensors wraps what the system says in an error of its own.
        full = getattr(error, "errno", None) == errno.ENOSPC or f"os error {errno.ENOSPC})" in str(error)
        reason = "the disk is full" if full else getattr(error, "strerror", None) or str(error)
        raise StorageError(
            f"Writing {what} failed: {reason}. Everything published before is intact; make room or mend the disk, "
            "and the same command goes on from the newest checkpoint."
        ) from error


def sync(path: Path) -> None:
    """Flush a file or folder to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_text(file: Path, text: str) -> None:
    """Replace a file's content in one step."""
    aside = file.with_name(f".tmp-{file.name}-{os.getpid()}")
    with storing(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        aside.write_text(text, encoding="utf-8")
        sync(aside)
        aside.replace(file)
        sync(file.parent)


def writable(text: str) -> str:
    """A text as UTF-8 can hold it: half of a surrogate pair becomes the replacement sign."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def write_json(file: Path, value: Any) -> None:
    """Replace a file by readable JSON in one step."""
    write_text(file, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


@contextmanager
def sealed_folder(target: Path) -> Iterator[Path]:
    """Give a folder to write in; on leaving, seal it and rename it to `target`. On an error nothing is published."""
    aside = target.with_name(f".tmp-{target.name}-{os.getpid()}")
    with storing(target):
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        try:
            yield aside
            seal(aside)
            if target.exists():
                shutil.rmtree(target)
            aside.rename(target)
            sync(target.parent)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise


def seal(folder: Path) -> None:
    """Sync every file and write the manifest last."""
    files = sorted(file for file in folder.rglob("*") if file.is_file() and file.name != MANIFEST)
    for file in files:
        sync(file)
    entries = {str(file.relative_to(folder)): sha256(file) for file in files}
    text = {"files": entries, "sha256": hashlib.sha256(canonical(entries).encode()).hexdigest()}
    (folder / MANIFEST).write_text(json.dumps(text, indent=1) + "\n")
    sync(folder / MANIFEST)
    sync(folder)


def damage(folder: Path) -> str | None:
    """Why a sealed folder is not whole, in words; None when it is."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        files = manifest["files"]
        if hashlib.sha256(canonical(files).encode()).hexdigest() != manifest["sha256"]:
            return "its manifest was changed"
    except FileNotFoundError:
        return "it has no manifest"
    except (ValueError, KeyError, TypeError, AttributeError, OSError):
        return "its manifest cannot be read"
    for name, expected in files.items():
        file = folder / name
        if not file.is_file():
            return f"`{name}` is missing"
        if sha256(file) != expected:
            return f"`{name}` is not what was written (its hash differs)"
    return None


def require_space(folder: Path, least: int = LEAST_FREE_BYTES) -> None:
    """Refuse to start where there is no room. Raises `UsageError`."""
    there = folder
    while not there.exists():
        there = there.parent
    free = shutil.disk_usage(there).free
    if free < least:
        raise UsageError(
            f"{folder} has {free / 2**20:.0f} MiB free and at least {least / 2**20:.0f} MiB are needed to start; "
            "nothing was written. Make room, or choose another place with `--out` and `WARMRL_HOME`."
        )
