"""Grading processes, killed at a deadline or memory limit: started when needed, replaced when they die, gone with us.

Why not pebble's ProcessPool, which does the same (5.2.3, measured with math-verify and a deadline of 2 s, beside
ours): overhead on a benign answer 0.5 to 0.8 ms (ours 0.2 to 0.45), a hang's verdict 0.02 to 0.13 s past the deadline
(ours 0.003 to 0.014). What decides is how it starts processes. `spawn` and `forkserver` break in a script without
`if __name__ == "__main__"` and take 1.5 to 4 s to recover from a hang (ours 0.15 to 0.35 s). `fork` copies a process
that holds torch, an accelerator and threads, where a memory limit of 2 GiB is passed before the first answer. And its
deadline is kept by the parent: when a run is killed, a hanging worker goes on for ever; here the kernel ends it.
"""

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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from warmrl.domain.errors import PluginError, WarmrlError

SCRIPT = Path(__file__).with_name("grading_child.py")
START = 120.0
"""Seconds a process may take to import what it grades with (1 s for math-verify on an idle machine)."""
GRACE = 5.0
"""Seconds past the deadline after which a process that should have said that its child was killed is killed too."""


@dataclass(frozen=True)
class Outcome:
    """What came of one call: the JSON value that the function returned, or why there is none.

    `failure` is "" for a value, else `timed out` (the deadline), `crashed` (usually the memory limit), or `raised`.
    """

    value: Any = None
    failure: str = ""


class Worker:
    """One grading process and its pipes. It has a session of its own, so that a terminal's Ctrl-C doesn't reach it."""

    def __init__(self, setup: dict[str, Any]) -> None:
        self.setup = setup
        self.process = subprocess.Popen(  # noqa: S603 - our own script
            [sys.executable, "-P", str(SCRIPT)],
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
        self._write({**setup, "path": sys.path})

    def hello(self, advice: str) -> None:
        """Wait until it is ready. Raises `WarmrlError` when it can't be."""
        with selectors.DefaultSelector() as waiting:
            waiting.register(self.replies, selectors.EVENT_READ)
            said = self.receive() if waiting.select(START) else {"failure": f"it said nothing for {START:g} s"}
        if "failure" in said:
            self.kill()
            raise WarmrlError(
                f"Answers are graded by `{self.setup['module']}` in a process of its own, and it did not start: "
                f"{said['failure']}. {advice}".rstrip()
            )

    def send(self, task: int, arguments: Sequence[Any]) -> None:
        """Give it the arguments of a call; `task` names it. It is reading whenever it has no task."""
        self.task, self.until = task, time.monotonic() + self.setup["deadline"] + GRACE
        self._write(arguments)

    def _write(self, message: object) -> None:
        with contextlib.suppress(BrokenPipeError):  # When it is dead, `receive` says so next.
            self.tasks.write(json.dumps(message).encode() + b"\n")
            self.tasks.flush()

    def receive(self) -> dict[str, Any]:
        """Its next line, or that it is dead."""
        line = self.replies.readline()
        return json.loads(line) if line.endswith(b"\n") else {"failure": "it ended"}

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


class GradingPool:
    """Calls one function, in up to `workers` processes that are killed when a call takes too long or too much.

    `function` is a module-level function of an installed module, named by a plugin's code and never by a recipe or
    data; it takes and returns JSON values. The process imports its module, so that module should import nothing heavy
    before the function is called, and `warm_up` (arguments of calls) should make it import the rest. `deadline` in
    seconds of wall-clock time and `memory` in GiB of address space are for one call. `advice` ends the message of
    the `WarmrlError` that is raised when a process can't start.

    May be called from any thread; threads share the processes. `timeouts` and `crashes` count the calls that ended so.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        deadline: float = 2.0,
        memory: float = 2.0,
        workers: int = 2,
        warm_up: Sequence[Sequence[Any]] = (),
        advice: str = "",
    ) -> None:
        module, name = function.__module__, function.__qualname__
        if module == "__main__" or getattr(sys.modules.get(module), name, None) is not function:
            raise PluginError(f"`{module}.{name}` grades in processes that import it; it must be a function of a module.")
        limits = {"deadline": deadline, "memory": int(memory * 2**30)}
        self._setup = {"module": module, "function": name, "warm_up": [list(one) for one in warm_up], **limits}
        self._advice = advice
        self.workers: list[Worker] = []
        self.timeouts = self.crashes = 0
        self._count = workers
        self._free: list[Worker | None] = [None] * workers  # None: not started. Started ones are at the end.
        self._changed = threading.Condition()
        self._end = weakref.finalize(self, end, self.workers)

    def start(self) -> None:
        """Start every process now, so that no call waits for one. Raises `WarmrlError`."""
        with self._borrowed(self._count) as slots:
            self._fill(slots)

    def map(self, calls: Sequence[Sequence[Any]]) -> list[Outcome]:
        """What came of each call, in order. Takes at most the deadline per call and process, and a bit."""
        if not calls:
            return []
        outcomes = [Outcome()] * len(calls)
        waiting = list(enumerate(calls))[::-1]
        with self._borrowed(len(calls)) as slots:
            self._fill(slots)
            idle, busy = [one for one in slots if one], set[Worker]()
            slots[:] = [None] * len(slots)  # Until the end: what is busy when something is raised is of no more use.
            try:
                while waiting or busy:
                    while waiting and idle:
                        worker = idle.pop()
                        busy.add(worker)
                        worker.send(*waiting.pop())
                    for worker in ready(busy):
                        outcomes[worker.task], alive = self._result(worker)
                        busy.discard(worker)
                        idle.append(alive)
            finally:
                for worker in busy:
                    self._drop(worker)
                slots[: len(idle)] = idle
        with self._changed:
            self.timeouts += sum(one.failure == "timed out" for one in outcomes)
            self.crashes += sum(one.failure == "crashed" for one in outcomes)
        return outcomes

    @contextlib.contextmanager
    def _borrowed(self, most: int) -> Iterator[list[Worker | None]]:
        """Up to `most` of the free processes, for this thread alone; waits for the first. What it leaves is free."""
        with self._changed:
            self._changed.wait_for(lambda: self._free)
            slots = [self._free.pop() for _ in range(min(most, len(self._free)))]
        try:
            yield slots
        finally:
            with self._changed:
                self._free[:0] = [one for one in slots if one is None]
                self._free.extend(one for one in slots if one)
                self._changed.notify_all()

    def _fill(self, slots: list[Worker | None]) -> None:
        """Start a process for every slot that has none (of its own: a fork's pipes belong to its parent)."""
        new: dict[int, Worker] = {}
        try:
            for at, one in enumerate(slots):
                if one is None or one.owner != os.getpid():
                    slots[at] = new[at] = Worker(self._setup)
                    self.workers.append(new[at])
            for worker in new.values():
                worker.hello(self._advice)
        except BaseException:
            for at, worker in new.items():
                self._drop(worker)
                slots[at] = None
            raise

    def _drop(self, worker: Worker) -> None:
        worker.kill()
        self.workers.remove(worker)

    def _result(self, worker: Worker) -> tuple[Outcome, Worker]:
        """What came of a worker's call, and the worker to go on with: another one when it is dead or silent."""
        late = time.monotonic() > worker.until
        said = {"failure": "it ended"} if late else worker.receive()
        if said.get("failure") != "it ended":
            return outcome(said), worker
        slots: list[Worker | None] = [None]
        self._fill(slots)
        self._drop(worker)
        assert slots[0]
        return Outcome(failure="timed out" if late else "crashed"), slots[0]

    def close(self) -> None:
        """End every process, once no thread uses them; the next call starts new ones."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._free) == self._count)
            self._free[:] = [None] * self._count
            end(self.workers)


def outcome(said: dict[str, Any]) -> Outcome:
    """What a process's line means."""
    if "failure" not in said:
        return Outcome(said["value"])
    return Outcome(failure={"raised": "raised", "SIGALRM": "timed out"}.get(said["failure"], "crashed"))


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
