"""Compares answers with math-verify in a process of its own; run as a script by `workers`, imported by nothing.

Hostile answers hang or fill the memory of computer algebra, and no exception handler stops a big-integer power. So
this process imports math-verify once and forks a child that does the comparing. The kernel kills the child at the
deadline (SIGALRM, default action) or at the memory limit, this process says so and forks the next one, in
milliseconds. One JSON line in (`[gold, answer]`), one out (`true`, `false`, or the name of what killed the child);
end of input ends both.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import signal
import sys
from typing import BinaryIO

WARM_UP = [("6\\sqrt{2}", "\\sqrt{72}"), ("\\frac{9\\pi}{2}", "4.5\\pi"), ("x^2+2x", "x(x+2)"), ("\\{1,2\\}", "(1,3]")]


def right(gold: str, answer: str) -> bool:
    """Whether math-verify finds the answer equal to the gold. Both are read as LaTeX alone: no text is evaluated."""
    from math_verify import LatexExtractionConfig, parse, verify

    def read(text: str) -> list[object]:
        return parse(f"${text}$", [LatexExtractionConfig()], parsing_timeout=None)

    return bool(verify(read(gold), read(answer), timeout_seconds=None))


def serve(tasks: BinaryIO, replies: BinaryIO, deadline: float, memory: int) -> None:
    """Answer tasks until there are no more. The alarm is off before a reply is written, so none is sent twice."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    while line := tasks.readline():
        signal.setitimer(signal.ITIMER_REAL, deadline)
        try:
            verdict = right(*json.loads(line))
        except (Exception, RecursionError, MemoryError):
            verdict = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        send(replies, verdict)


def send(replies: BinaryIO, message: object) -> None:
    """Write one line."""
    replies.write(json.dumps(message).encode() + b"\n")
    replies.flush()


def main(deadline: float, memory: int) -> None:
    """Say hello (`true`, or why math-verify can't be used), then keep one child serving until the input ends."""
    tasks, replies = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    logging.disable()
    try:
        for gold, answer in WARM_UP:
            right(gold, answer)
    except Exception as error:
        return send(replies, f"{type(error).__name__}: {error}")
    send(replies, True)
    while child := os.fork():
        status = os.waitpid(child, 0)[1]
        if not os.WIFSIGNALED(status):
            return None
        send(replies, signal.Signals(os.WTERMSIG(status)).name)
    serve(tasks, replies, deadline, memory)
    return None


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]))
