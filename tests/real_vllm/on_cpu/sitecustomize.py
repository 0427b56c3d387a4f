"""What a real vLLM needs on a CPU, in every Python process that a test starts with this folder on PYTHONPATH.

* The registry's torchvision fails to import next to a CPU torch for two operators that nothing here calls.
* vLLM repacks linear weights on a CPU once, at load, so that new ones change nothing. Here it doesn't repack: weights
  are then read at each product, as on an accelerator.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from types import ModuleType

KEPT: list[object] = []


def define_torchvision_operators() -> None:
    """`nms` and `qnms`, as names alone."""
    import torch

    if torch.version.cuda or hasattr(torch.ops.torchvision, "nms"):
        return
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    KEPT.append(library)


def read_weights_at_each_product() -> None:
    """Replace the repacking of linear weights by plain products."""
    import torch

    layers = importlib.import_module("vllm.model_executor.layers.utils")

    def plain(layer: torch.nn.Module, remove_weight: bool) -> None:
        layer.cpu_linear = torch.nn.functional.linear

    layers.dispatch_cpu_unquantized_gemm = plain


BEFORE = {"torchvision": define_torchvision_operators, "vllm.v1.worker.cpu_worker": read_weights_at_each_product}


class Before(MetaPathFinder):
    """Runs something before a module is first imported, and leaves the import to others."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        """Never finds anything."""
        if prepare := BEFORE.pop(name, None):
            prepare()


sys.meta_path.insert(0, Before())
