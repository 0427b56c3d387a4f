"""Weights from a process to a server on the same machine: safetensors files in shared memory, with checksums."""

from __future__ import annotations

import os
import shutil
import time
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import gettempdir, mkdtemp

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from warmrl.api import ServiceError

PREFIX = "warmrl-weights-"
SHARD = 2**30
# Seconds after which a dead process's files go. Until then they may be those of a process in another container.
LEFT_BEHIND = 3600.0


@contextmanager
def place(folder: str | None) -> Iterator[Path]:
    """A folder of its own for one transfer, readable by this user alone; what killed processes left goes too."""
    shared = Path("/dev/shm")  # noqa: S108 - Linux's shared memory; a private folder is made in it
    parent = Path(folder) if folder else shared if os.access(shared, os.W_OK) else Path(gettempdir())
    try:
        for old in parent.glob(f"{PREFIX}*"):
            process = old.name.removeprefix(PREFIX).partition("-")[0]
            with suppress(OSError):  # another run may clean it up too
                gone = process.isdigit() and not Path(f"/proc/{process}").exists()
                if gone and old.stat().st_mtime < time.time() - LEFT_BEHIND:
                    shutil.rmtree(old, ignore_errors=True)
        own = Path(mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=parent))
    except OSError as error:
        raise ServiceError(f"Weights cannot go through {parent} ({error}); set the sampler's `transfer`.") from error
    try:
        yield own
    finally:
        shutil.rmtree(own, ignore_errors=True)


def write(weights: Iterable[tuple[str, Tensor]], folder: Path, dtype: torch.dtype) -> list[dict[str, object]]:
    """Write weights in files of about a gibibyte; the files' paths and checksums. Raises `ServiceError`."""
    files: list[dict[str, object]] = []
    shard: dict[str, Tensor] = {}
    for name, value in weights:
        shard[name] = value.to(dtype if value.is_floating_point() else value.dtype).cpu().clone().contiguous()
        if size(shard) >= SHARD:
            files.append(written(shard, folder / f"{len(files):05d}.safetensors"))
            shard = {}
    if shard:
        files.append(written(shard, folder / f"{len(files):05d}.safetensors"))
    return files


def size(shard: dict[str, Tensor]) -> int:
    """Bytes of its tensors."""
    return sum(value.numel() * value.element_size() for value in shard.values())


def written(shard: dict[str, Tensor], file: Path) -> dict[str, object]:
    """One file, its path and checksum."""
    needed, free = size(shard) + 2**20, shutil.disk_usage(file.parent).free
    if free < needed:
        raise ServiceError(
            f"Weights for the vLLM server do not fit into {file.parent.parent}: {needed / 2**30:.1f} GiB are needed "
            f"and {free / 2**30:.1f} GiB free. Name another folder as the sampler's `transfer`."
        )
    try:
        save_file(shard, file)
        return {"path": str(file), "checksum": checksum(file)}
    except (OSError, SafetensorError) as error:
        raise ServiceError(f"Weights for the vLLM server could not be written to {file}: {error}") from error


def read(files: Iterable[dict[str, object]]) -> Iterator[tuple[str, Tensor]]:
    """The weights of files. Raises `ServiceError` when one is missing or not as it was written."""
    for one in files:
        path = Path(str(one["path"]))
        try:
            if checksum(path) != one["checksum"]:
                raise ServiceError(f"The weights in {path} are not what was sent: the checksum is another.")
            with safe_open(path, "pt") as file:
                for name in file.keys():  # noqa: SIM118 - a safetensors file is no mapping
                    yield name, file.get_tensor(name)
        except (OSError, SafetensorError) as error:
            raise ServiceError(
                f"The weights in {path} cannot be read ({error}): the server must be on the same machine, as the same "
                "user, and see the same folder."
            ) from error


def checksum(file: Path) -> int:
    """CRC-32 of a file."""
    found = 0
    with file.open("rb") as stream:
        while block := stream.read(2**24):
            found = zlib.crc32(block, found)
    return found
