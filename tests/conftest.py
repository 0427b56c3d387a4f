"""What all tests share: a torchvision that was built for another torch is made harmless before it is imported."""

import gc
import sys
from collections.abc import Generator
from typing import Any

import pytest

import warmrl  # noqa: F401


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, Any, Any]:
    """What collecting imports stays: the collector of garbage leaves it alone, now and whenever a run collects."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Between files, forget the precision of a run: accelerate keeps one for the whole process."""
    if "accelerate" in sys.modules and (nextitem is None or nextitem.path != item.path):
        from accelerate.state import AcceleratorState

        if AcceleratorState._shared_state:
            AcceleratorState._reset_state(reset_partial_state=True)
