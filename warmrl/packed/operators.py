"""Lets transformers import a torchvision that was built for another torch: two operators that no model here calls.

The usual registry's torchvision is linked against CUDA. Next to a CPU build of torch its import fails with `operator
torchvision::nms does not exist`, and with it that of every processor in transformers; its image transforms need none
of its compiled operators.
"""

from __future__ import annotations

import importlib.util
import sys

import torch

_KEPT: list[torch.library.Library] = []


def complete_torchvision() -> bool:
    """Declare `nms` and `qnms` where torchvision cannot be imported for want of them, and say whether that was so."""
    if torch.version.cuda or _KEPT or importlib.util.find_spec("torchvision") is None:
        return bool(_KEPT)
    try:
        import torchvision  # noqa: F401
    except RuntimeError as error:
        if "torchvision::nms does not exist" not in str(error):
            return False
        _KEPT.append(torch.library.Library("torchvision", "FRAGMENT"))
        for name in ("nms", "qnms"):
            _KEPT[0].define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        for name in [one for one in sys.modules if one.partition(".")[0] == "torchvision"]:
            del sys.modules[name]  # what the failed import left
    return bool(_KEPT)
