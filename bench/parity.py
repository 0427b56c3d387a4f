"""The gate before every number: on the same weights and completions, loss and gradients agree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

# Largest relative difference of a loss or of a tensor's gradient; in bfloat16 the case `bf16` says who is nearer.
TOLERANCE = {"float32": 1e-5, "bfloat16": 5e-2}


class Disagreement(Exception):
    """Two contenders do not compute the same thing: no number of theirs is worth printing."""


def gradients(model: Any) -> dict[str, Tensor]:
    """Every gradient that a model holds, copied, by its parameter's name."""
    return {name: p.grad.detach().clone() for name, p in model.named_parameters() if p.grad is not None}


def furthest(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> tuple[float, str]:
    """The largest relative difference of a tensor's gradient, and whose. Norms count as at least 1e-6 of the whole's.

    Left out: key biases without rotary positions (Idefics3's vision tower). A constant added to all keys leaves a
    softmax as it is, so their gradient is zero, and what is computed is rounding.
    """
    if found.keys() != expected.keys():
        raise Disagreement(f"gradients of other parameters: {sorted(found.keys() ^ expected.keys())[:3]}")
    total = float(torch.stack([g.double().norm() for g in expected.values()]).norm())
    gaps = {
        name: float((found[name] - g).double().norm()) / max(float(g.double().norm()), 1e-6 * total)
        for name, g in expected.items()
        if not ("vision_model" in name and name.endswith("k_proj.bias"))
    }
    worst = max(gaps, key=lambda name: gaps[name])
    return gaps[worst], worst


def check(
    name: str, found: tuple[float, Mapping[str, Tensor]], expected: tuple[float, Mapping[str, Tensor]],
    tolerance: float = TOLERANCE["float32"],
) -> float:  # fmt: skip
    """The distance of (loss, gradients) from the expected ones; raises `Disagreement` beyond the tolerance."""
    # GRPO's loss is a mean of advantages of size 1 that nearly cancel: what is left must not magnify their rounding.
    loss = abs(found[0] - expected[0]) / max(abs(expected[0]), 0.1)
    gap, worst = furthest(found[1], expected[1])
    if not max(loss, gap) <= tolerance:
        raise Disagreement(
            f"{name}: the loss differs by {loss:.1e} and the gradient of `{worst}` by {gap:.1e} (relative; at most "
            f"{tolerance:.0e}): no number is printed"
        )
    return max(loss, gap)
