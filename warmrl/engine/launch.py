"""Starting several processes of the same command, and knowing which of them this is. No torch."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout

EXPECTED = "WARMRL_EXPECTED_PROCESSES"


def launched() -> bool:
    """Whether a launcher (torchrun, or `start`) made this process."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


def is_first() -> bool:
    """Whether this is the process that speaks and writes."""
    return os.environ.get("RANK", "0") == "0"


def start(processes: int, arguments: Sequence[str], stopping: Callable[[], int]) -> int:
    """Run `warmrl ARGUMENTS` in that many processes of torch's launcher; returns the exit code.

    A signal that came to this process has come to the launcher's group or is passed on; its exit code is 128 + signal.
    """
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    # Without the level, torch's C++ side tells a person of every process about sockets and unused parameters.
    ours = {"OMP_NUM_THREADS": "1", "TORCH_CPP_LOG_LEVEL": "ERROR"}
    environment = ours | os.environ | {EXPECTED: str(processes)}
    child = subprocess.Popen([*command, "-m", "warmrl", *arguments], env=environment)  # noqa: S603
    passed_on = False
    while True:
        try:
            code = child.wait(timeout=0.2)
            break
        except subprocess.TimeoutExpired:
            if stopping() and not passed_on:
                child.send_signal(stopping())
                passed_on = True
    return 128 + stopping() if stopping() else code


@contextmanager
def quiet(silent: bool) -> Iterator[None]:
    """Send standard output of a process that isn't the first to nowhere."""
    if not silent:
        yield
        return
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):  # noqa: PTH123
        yield
