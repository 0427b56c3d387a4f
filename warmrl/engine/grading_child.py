"""Runs one grading function in a process of its own; run as a script by `grading_pool`, imported by nothing.

Hostile answers hang or fill the memory of computer algebra, and no exception handler stops a big-integer power. So
this process imports the function once and forks a child that calls it. The kernel kills the child at the deadline
(SIGALRM, default action) or when it goes beyond the memory limit; this process says so and forks the next one, in
milliseconds. The first line in says which function of which module, and its limits; then one JSON line in (a list of
arguments), one out (`{"value": …}`, `{"failure": "raised"}` or `{"failure": the signal that killed the child}`); end
of input ends both.
"""

from __future__ import annotations

import gc
import importlib
import json
import logging
import os
import resource
import signal
import sys
from collections.abc import Callable
from typing import Any, BinaryIO

Function = Callable[..., Any]


def serve(function: Function, tasks: BinaryIO, replies: BinaryIO, deadline: float, memory: int) -> None:
    """Answer tasks until there are no more. The alarm is off before a reply is written, so none is sent twice."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    while line := tasks.readline():
        signal.setitimer(signal.ITIMER_REAL, deadline)
        try:
            reply = json.dumps({"value": function(*json.loads(line))})
        except MemoryError:
            os.kill(os.getpid(), signal.SIGKILL)  # What is left of its memory is not to be trusted.
        except Exception:
            reply = json.dumps({"failure": "raised"})
        signal.setitimer(signal.ITIMER_REAL, 0)
        send(replies, reply)


def send(replies: BinaryIO, line: str) -> None:
    """Write one line."""
    replies.write(line.encode() + b"\n")
    replies.flush()


def main() -> None:
    """Say hello (`{"value": true}`, or why the function can't be used), then keep one child serving until the end."""
    tasks, replies = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    logging.disable()
    setup = json.loads(tasks.readline())
    try:
        sys.path[:] = setup["path"]
        function: Function = getattr(importlib.import_module(setup["module"]), setup["function"])
        for arguments in setup["warm_up"]:
            function(*arguments)
    except Exception as error:
        return send(replies, json.dumps({"failure": f"{type(error).__name__}: {error}"}))
    send(replies, json.dumps({"value": True}))
    gc.freeze()  # A collection in the child then copies no page of what was imported.
    while child := os.fork():
        status = os.waitpid(child, 0)[1]
        if not os.WIFSIGNALED(status):
            return None
        send(replies, json.dumps({"failure": signal.Signals(os.WTERMSIG(status)).name}))
    serve(function, tasks, replies, setup["deadline"], setup["memory"])
    return None


if __name__ == "__main__":
    main()
