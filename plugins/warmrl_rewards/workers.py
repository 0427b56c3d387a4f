"""Grading processes: started when needed, replaced when they die, gone when this process is."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Sequence
from pathlib import Path

from warmrl.api import WarmrlError

SCRIPT = Path(__file__).with_name("grader.py")
START = 120.0
"""Seconds a process may take to import math-verify (1 s on an idle machine)."""
GRACE = 5.0
"""Seconds past the deadline after which a process that should have said that its child was killed is killed too."""

Verdict = bool | str
"""Right, wrong, or the name of what ended the comparison (`SIGALRM`: the deadline)."""


class Worker:
    """One grading process and its pipes. It has a session of its own, so that a terminal's Ctrl-C doesn't reach it."""

    def __init__(self, deadline: float, memory: float) -> None:
        self.deadline = deadline
        self.process = subprocess.Popen(  # noqa: S603 - our own script
            [sys.executable, "-P", str(SCRIPT), str(deadline), str(int(memory * 2**30))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, "PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1"},
        )
        assert self.process.stdin and self.process.stdout
        self.tasks, self.replies = self.process.stdin, self.process.stdout
        self.owner = os.getpid()
        self.task = -1
        self.until = 0.0

    def hello(self) -> None:
        """Wait until it is ready. Raises `WarmrlError` when it can't be."""
        with selectors.DefaultSelector() as waiting:
            waiting.register(self.replies, selectors.EVENT_READ)
            said = self.receive() if waiting.select(START) else f"it said nothing for {START:g} s"
        if said is not True:
            self.kill()
            raise WarmrlError(
                f"The reward `math` compares answers with math-verify in a process of its own, and it did not start: "
                f"{said}. Install math-verify[antlr4_13_2] beside warmrl ({sys.executable})."
            )

    def send(self, task: int, pair: tuple[str, str]) -> None:
        """Give it a pair to compare; `task` names it. A line is shorter than a pipe's buffer, so this never blocks."""
        self.task, self.until = task, time.monotonic() + self.deadline + GRACE
        with contextlib.suppress(BrokenPipeError):  # When it is dead, `receive` says so next.
            self.tasks.write(json.dumps(pair).encode() + b"\n")
            self.tasks.flush()

    def receive(self) -> Verdict:
        """Its next line, or that it is dead."""
        line = self.replies.readline()
        return json.loads(line) if line.endswith(b"\n") else "it ended"

    def kill(self) -> None:
        """End it and its child, and take its pipes down. Does nothing in a fork of the process that started it."""
        if os.getpid() != self.owner:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.replies.close()
        with contextlib.suppress(BrokenPipeError):
            self.tasks.close()


class Workers:
    """Up to `count` workers. May be called from any thread; calls take turns."""

    def __init__(self, count: int, deadline: float, memory: float) -> None:
        self.count, self.deadline, self.memory = count, deadline, memory
        self.workers: list[Worker] = []
        self._turn = threading.Lock()
        self._end = weakref.finalize(self, end, self.workers)

    def grade(self, pairs: Sequence[tuple[str, str]]) -> list[Verdict]:
        """A verdict for each (gold, answer), in order; takes at most the deadline per pair and worker, and a bit."""
        with self._turn:
            self._start(min(self.count, len(pairs)))
            verdicts: list[Verdict] = [False] * len(pairs)
            waiting = list(enumerate(pairs))[::-1]
            idle, busy = list(self.workers), set[Worker]()
            while waiting or busy:
                while waiting and idle:
                    worker = idle.pop()
                    worker.send(*waiting.pop())
                    busy.add(worker)
                for worker in ready(busy):
                    busy.discard(worker)
                    verdicts[worker.task], alive = self._result(worker)
                    idle.append(alive)
            return verdicts

    def _start(self, count: int) -> None:
        new = [Worker(self.deadline, self.memory) for _ in range(count - len(self.workers))]
        self.workers.extend(new)
        for worker in new:
            self._greet(worker)

    def _greet(self, worker: Worker) -> None:
        try:
            worker.hello()
        except WarmrlError:
            self.workers.remove(worker)
            raise

    def _result(self, worker: Worker) -> tuple[Verdict, Worker]:
        """What a worker said, and the worker to go on with: another one when it is dead or silent."""
        late = time.monotonic() > worker.until
        verdict = "SIGKILL" if late else worker.receive()
        if not late and verdict != "it ended":
            return verdict, worker
        worker.kill()
        self.workers.remove(worker)
        another = Worker(self.deadline, self.memory)
        self.workers.append(another)
        self._greet(another)
        return verdict, another

    def close(self) -> None:
        """End every worker; the next call starts new ones."""
        with self._turn:
            end(self.workers)


def ready(busy: set[Worker]) -> list[Worker]:
    """The workers that have something to say, or have been silent past their time; waits for the first."""
    with selectors.DefaultSelector() as waiting:
        for worker in busy:
            waiting.register(worker.replies, selectors.EVENT_READ, worker)
        found = waiting.select(max(0.0, min(worker.until for worker in busy) - time.monotonic()))
    return [key.data for key, _ in found] or [worker for worker in busy if time.monotonic() > worker.until]


def end(workers: list[Worker]) -> None:
    """Kill and forget them all."""
    while workers:
        workers.pop().kill()
