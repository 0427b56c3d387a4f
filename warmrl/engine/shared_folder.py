"""Whether all machines of a run see the same store: what the first process writes, every other one reads."""

from __future__ import annotations

import time
from pathlib import Path
from uuid import uuid4

from warmrl.domain.errors import UsageError
from warmrl.engine.processes import Processes

# A network filesystem may show a new file late (NFS looks again after at most a minute; a new name it asks for).
PATIENCE = 30.0


def require_shared(folder: Path, processes: Processes) -> None:
    """Refuse a store that isn't the same folder for all machines, in all processes. Raises `UsageError`."""
    if processes.machines == 1:
        return
    name = processes.agree(f".seen-by-all-{uuid4().hex}")
    if processes.first:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    processes.wait()
    seen = processes.gather([appears(folder / name)])
    processes.wait()
    if processes.first:
        (folder / name).unlink(missing_ok=True)
    if not all(seen):
        blind = ", ".join(str(rank) for rank, found in enumerate(seen) if not found)
        raise UsageError(
            f"{folder.resolve()} is not the same folder for all machines: what process 0 writes there, process {blind} "
            "does not see. Checkpoints and samples go through it; set WARMRL_HOME (and `--out`) to a folder on a "
            "filesystem that they share."
        )


def appears(file: Path) -> bool:
    """Whether a file is there, or comes soon."""
    until = time.monotonic() + PATIENCE
    while not file.exists():
        if time.monotonic() > until:
            return False
        time.sleep(0.5)
    return True
