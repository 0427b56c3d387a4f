"""Exactness in bfloat16: how far log-probabilities and gradients are from the float32 answer, warmrl's and TRL's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from accelerate.state import AcceleratorState
from torch import Tensor

from bench.compare import Case, Cost, Figure
from bench.contenders import MATCHED, PACKED
from bench.contenders.packed import Packed, groups_of
from bench.contenders.trl_trainers import GRPO
from bench.parity import gradients
from bench.workloads import W1, canned
from warmrl.engine.passes import score_tokens

# Draws of rollouts that distances are taken over: one alone says little about rounding.
SEEDS = (0, 1, 2)


@contextmanager
def precision() -> Iterator[None]:
    """Accelerate's precision is the process's; here it changes."""
    AcceleratorState._reset_state(reset_partial_state=True)
    try:
        yield
    finally:
        AcceleratorState._reset_state(reset_partial_state=True)


def bf16(settings: Any) -> Case:
    """The same updates in bfloat16 (float32 weights under autocast, as both train) against float32."""
    found: dict[str, list[tuple[float, float]]] = {PACKED: [], MATCHED: []}
    for seed in SEEDS:
        for name, distances in apart(settings, seed).items():
            found[name].append(distances)
    what = "relative distance from float32, root mean square over draws of W1's rollouts: log-probabilities, gradients"
    case = Case("bf16", what)
    case.costs = [Cost(PACKED), Cost(MATCHED)]
    squares = {name: [sum(d[i] ** 2 for d in all_) / len(all_) for i in (0, 1)] for name, all_ in found.items()}
    for cost in case.costs:
        logprobs, grads = (value**0.5 for value in squares[cost.name])
        cost.about = f"log-probabilities {logprobs:.2e}, gradients {grads:.2e}"
    for i, quantity in enumerate(("log-probabilities", "gradients")):
        ratio = (squares[PACKED][i] / squares[MATCHED][i]) ** 0.5
        case.figures.append(Figure(f"{quantity}' distance from float32, warmrl / TRL", ratio, 1.0, "at most"))
    return case


def apart(settings: Any, seed: int) -> dict[str, tuple[float, float]]:
    """Distances of log-probabilities and of gradients from float32, by contender."""
    subject = settings.shape.build(W1, settings.scale, 1)
    rollouts = canned(W1, subject.words, settings.scale, seed)
    with precision():
        exact = Packed(subject, rollouts)
        exact.update()
        logprobs, grads = logprobs_of(exact), gradients(exact.model)
    low = replace(subject, dtype="bfloat16")
    out = {}
    with precision():
        own = Packed(low, rollouts)
        own.update()
        out[PACKED] = away(logprobs_of(own), logprobs), distance(gradients(own.model), grads)
    with precision():
        theirs = GRPO(low, rollouts)
        theirs.update()
        found = distance(gradients(theirs.model), grads)
        theirs.sample_as_vllm()
        scored = torch.cat([torch.tensor(one) for one in theirs.trainer.logprobs])
        out[MATCHED] = away(scored, logprobs), found
    return out


def logprobs_of(own: Packed) -> Tensor:
    """`[all tokens]` as warmrl scores them."""
    groups = groups_of(own.rollouts)
    score_tokens(own.policy, groups, own.stage.processes, own.stage.config.token_budget, "logprob")
    return torch.cat([one.signals["logprob"] for group in groups for one in group.completions])


def away(found: Tensor, expected: Tensor) -> float:
    """Relative distance of two vectors."""
    return float((found.double() - expected.double()).norm() / expected.double().norm())


def distance(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> float:
    """Relative distance of two gradients as one long vector."""
    names = list(expected)
    return away(*(torch.cat([one[name].flatten() for name in names]) for one in (found, expected)))
