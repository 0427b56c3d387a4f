"""Lets transformers import a torchvision that was built for another torch: two operators that no model here calls.

The usual registry's torchvision is linked against CUDA. Next to a CPU build of torch its import fails with `operator
torchvision::nms does not exist`, and with it that of every processor in transformers; its image transforms need none
of its compiled operators. Who imports it first, and when, is up to other libraries: so they are declared just before.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.metadata import PackageNotFoundError, files
from types import ModuleType
from typing import Any

# What declared the operators; it must not be collected.
KEPT: list[Any] = []


class BeforeTorchvision(MetaPathFinder):
    """Completes torchvision when it is about to be imported; finds nothing itself."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Never finds anything."""
        if fullname == "torchvision" and self in sys.meta_path:
            sys.meta_path.remove(self)
            complete_torchvision()
        return None


def complete_torchvision() -> None:
    """Declare `nms` and `qnms` where torchvision's own library of them does not load."""
    try:
        found = [one for one in files("torchvision") or () if one.match("torchvision/_C*.so")]
    except PackageNotFoundError:  # transformers looks for it where there is none
        return
    import torch

    if torch.version.cuda or not found or hasattr(torch.ops.torchvision, "nms"):
        return
    try:
        torch.ops.load_library(str(found[0].locate()))
    except OSError:
        KEPT.append(torch.library.Library("torchvision", "FRAGMENT"))
        for name in ("nms", "qnms"):
            KEPT[0].define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


def watch() -> None:
    """From now on, complete torchvision before its first import."""
    sys.meta_path.insert(0, BeforeTorchvision())
