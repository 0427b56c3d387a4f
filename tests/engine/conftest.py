"""Runs of the tiny recipe: one uninterrupted, and ones that were stopped."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

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


@pytest.fixture(scope="session")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """The folder of a run that was stopped at a border, made once."""

    @cache
    def make(calls: int) -> Path:
        found = Home(tmp_path_factory.mktemp("stopped"))
        with pytest.raises(Interrupted) as stop:
            found.run(stopping=stop_after(calls))
        assert stop.value.exit_code == 143
        return found.path

    return make


@pytest.fixture
def interrupted(tmp_path: Path, stopped: Callable[[int], Path]) -> Callable[[int], Home]:
    """The same in a folder of its own."""
    return lambda calls: Home(shutil.copytree(stopped(calls), tmp_path / "home", symlinks=True))
