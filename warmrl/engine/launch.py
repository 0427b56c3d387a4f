"""Starting several processes of the same command, and knowing which of them this is. No torch."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout, suppress

from warmrl.domain.errors import UsageError

PR_SET_PDEATHSIG = 1

EXPECTED = "WARMRL_EXPECTED_PROCESSES"
# In a cell of a study: the process that runs the study.
PARENT = "WARMRL_PARENT_PROCESS"
# How long the other processes get to end by themselves after one has.
SETTLE_SECONDS = 5.0


def launched() -> bool:
    """Whether a launcher (torchrun, srun, or `start`) made this process."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


def world(asked: int) -> int:
    """Processes of the run: those that a launcher made, or as many as are asked for."""
    return int(os.environ["WORLD_SIZE"]) if launched() else asked


def local_processes() -> int:
    """Processes of the run on this machine, which share its memory."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def require(processes: int | None) -> None:
    """Refuse when a launcher made another number of processes than was asked for. Raises `UsageError`."""
    if launched() and processes is not None and os.environ["WORLD_SIZE"] != str(processes):
        raise UsageError(
            f"`--processes {processes}`, but the launcher made {os.environ['WORLD_SIZE']}; leave the option out, or "
            "start without a launcher."
        )


def is_first() -> bool:
    """Whether this is the process that speaks and writes."""
    return os.environ.get("RANK", "0") == "0"


def end_with_parent() -> None:
    """In a process that `start` or a study made: get SIGTERM when that one is gone, so none is left behind (Linux)."""
    parent = os.environ.pop(PARENT, None)  # not that of the processes that this one starts
    if (EXPECTED in os.environ or parent) and sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if parent and os.getppid() != int(parent):  # gone before this process could ask
            os.kill(os.getpid(), signal.SIGTERM)


def start(processes: int, arguments: Sequence[str], stopping: Callable[[], int]) -> int:
    """Run `warmrl ARGUMENTS` in that many processes of this machine; returns the exit code of the first to fail.

    They find one another as torchrun's would (RANK, WORLD_SIZE, MASTER_ADDR on loopback). The first speaks; of the
    others a person hears only what one says that fails alone. A signal to this process is passed on, and its exit
    code is 128 + signal.
    """
    # Without the level, torch's C++ side tells a person of every process about sockets and unused parameters.
    ours = {"OMP_NUM_THREADS": "1", "TORCH_CPP_LOG_LEVEL": "ERROR"}
    there = {EXPECTED: str(processes), "WORLD_SIZE": str(processes), "LOCAL_WORLD_SIZE": str(processes)}
    there |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    command = [sys.executable, "-m", "warmrl", *arguments]
    with ExitStack() as stack:
        said = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(processes)]
        children = [
            subprocess.Popen(  # noqa: S603
                command,
                env=ours | os.environ | there | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
                stderr=said[rank] if rank else None,
                process_group=0,  # a terminal's Ctrl-C comes once, from here: a second one would end them at once
            )
            for rank in range(processes)
        ]
        failed = watch(children, stopping)
        end(children)
        if failed is None:
            return 0
        if failed and not stopping():
            said[failed].seek(0)
            sys.stderr.buffer.write(said[failed].read()[-4000:])
    return 128 + stopping() if stopping() else exit_code(children[failed])


def watch(children: Sequence[subprocess.Popen[bytes]], stopping: Callable[[], int]) -> int | None:
    """Wait until all have ended well (None) or one has not (its rank, the first process before the others)."""
    passed_on = False
    while True:
        codes = [child.poll() for child in children]
        if any(codes):
            if not codes[0]:  # the first process may be about to say the same
                with suppress(subprocess.TimeoutExpired):
                    children[0].wait(timeout=SETTLE_SECONDS)
            return next(rank for rank, child in enumerate(children) if child.poll())
        if None not in codes:
            return None
        if stopping() and not passed_on:
            passed_on = True
            for child in children:
                child.send_signal(stopping())
        time.sleep(0.1)


def end(children: Sequence[subprocess.Popen[bytes]]) -> None:
    """Stop what is left: a process whose partner is gone waits for it for ever."""
    for child in children:
        try:
            child.wait(timeout=SETTLE_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def exit_code(child: subprocess.Popen[bytes]) -> int:
    """A process's exit code as a shell gives it."""
    return child.returncode if child.returncode >= 0 else 128 - child.returncode


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextmanager
def quiet(silent: bool) -> Iterator[None]:
    """Send standard output of a process that isn't the first to nowhere."""
    if not silent:
        yield
        return
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):  # noqa: PTH123
        yield
