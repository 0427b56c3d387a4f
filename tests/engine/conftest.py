"""Runs of the tiny recipe: one uninterrupted, and ones that were stopped."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_runs import Home, stop_after

from warmrl.domain.errors import Interrupted


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """One uninterrupted run."""
    found = Home(tmp_path_factory.mktemp("whole"))
    found.run()
    return found


@pytest.fixture
def interrupted(tmp_path: Path) -> Callable[..., Home]:
    """A run that was stopped at a border, in a folder of its own."""

    def make(calls: int, **options: Any) -> Home:
        shutil.rmtree(tmp_path / "home", ignore_errors=True)
        found = Home(tmp_path / "home")
        with pytest.raises(Interrupted) as stop:
            found.run(stopping=stop_after(calls), **options)
        assert stop.value.exit_code == 143
        return found

    return make
