"""Processes of one run, forked, that find one another as torchrun's would."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from warmrl.engine.launch import free_port
from warmrl.testing.command import Command
from warmrl.testing.run import Outcome, environment


def ranks(
    count: int, *arguments: str, folder: Path, function: Callable[..., Any] | None = None, seconds: float = 240.0
) -> list[Outcome]:
    """How each of `count` processes ended: of `warmrl ARGUMENTS`, or of an importable `function` of these."""
    shared = {"WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}
    with ExitStack() as stack:
        started = []
        for rank in range(count):
            own = {name: str(value) for name, value in {**shared, "RANK": rank, "LOCAL_RANK": rank}.items()}
            one = Command(*arguments, folder=folder, environment=environment(folder) | own, function=function)
            stack.callback(one.kill)
            started.append(one)
        return [Outcome(one.returncode or 0, out, err) for one in started for out, err in [one.communicate(seconds)]]
