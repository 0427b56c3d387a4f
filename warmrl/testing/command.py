"""A command in a process of its own, forked from one that has imported torch and transformers: it starts at once."""

from __future__ import annotations

import gc
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Mapping
from multiprocessing import get_context
from multiprocessing.forkserver import ensure_running
from pathlib import Path
from subprocess import TimeoutExpired
from typing import Any
from unittest.mock import patch

CONTEXT = get_context("forkserver")
# What a run on the pocket imports; plugins are imported by the command itself.
CONTEXT.set_forkserver_preload([
    "warmrl.cli.main", "warmrl.engine.workshop", "warmrl.engine.training", "warmrl.report.build",
    "transformers.models.idefics3.modeling_idefics3", "transformers.models.idefics3.processing_idefics3",
    "transformers.models.llama.modeling_llama",
])  # fmt: skip


class Command:
    """Like a `subprocess.Popen` of `python -m warmrl ARGUMENTS` whose outputs are piped, in a session of its own.

    Or of a `function` that is importable; `environment` is all of its environment.
    """

    def __init__(
        self,
        *arguments: str,
        folder: Path,
        environment: Mapping[str, str],
        function: Callable[..., Any] | None = None,
    ) -> None:
        self.said = tempfile.TemporaryDirectory(prefix="warmrl-said-")
        with patch.dict(os.environ, environment):  # only the first starts the process that is forked
            ensure_running()
        given = (function, arguments, str(folder), dict(environment), self.said.name)
        self.process = CONTEXT.Process(target=become, args=given)
        self.process.start()
        self.pid = self.process.pid or 0

    @property
    def returncode(self) -> int | None:
        """The exit code, minus the signal that ended it, or None while it runs."""
        return self.process.exitcode

    def poll(self) -> int | None:
        """The same."""
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send the process a signal, unless it has ended."""
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it without a word."""
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Wait for its end, and what it printed. Raises `TimeoutExpired` when it goes on for longer."""
        self.process.join(timeout)
        if self.returncode is None:
            raise TimeoutExpired("warmrl", timeout or 0.0)
        out, err = ((Path(self.said.name) / name).read_text() for name in ("out", "err"))
        return out, err


def become(
    function: Callable[..., Any] | None, arguments: tuple[str, ...], folder: str, environment: dict[str, str], said: str
) -> None:
    """In the forked process: be the command."""
    os.setsid()
    for number, name in ((1, "out"), (2, "err")):
        file = os.open(Path(said) / name, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        os.dup2(file, number)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    gc.freeze()  # what is shared with the process that was forked is not written to
    if function is not None:
        function(*arguments)
        return
    from warmrl.cli.main import main

    sys.argv = ["warmrl", *arguments]
    main()
