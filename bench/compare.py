"""Runs contenders against one another: parity first, then counts, then times, interleaved."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from bench import measure
from bench.parity import TOLERANCE, check, gradients


@dataclass
class Cost:
    """What one contender's update costs.

    Args:
        name: The contender.
        about: What was set.
        gap: Relative distance of loss and gradients from the first contender's; None where nothing is compared.
        flops: Operations of matrix products, convolutions and attention.
        saved: Bytes kept for the backward pass, over all micro-batches; None under gradient checkpointing.
        held: The most of them at one time.
        tokens: Tokens pushed through the trained model's decoder, over unique ones.
        least: Least work over work done.
        seconds: One for each repeat.
        peak: How far memory rose, in bytes, at least.
        rollouts: Completions in the update.
        trained: Trained tokens in it.
    """

    name: str
    about: str = ""
    gap: float | None = None
    flops: int = 0
    saved: int | None = None
    held: int | None = None
    tokens: float = 0.0
    least: float | None = None
    seconds: list[float] = field(default_factory=list)
    peak: int | None = None
    rollouts: int = 0
    trained: int = 0

    @property
    def best(self) -> float:
        """The shortest time: others share the machine, and only ever add to it."""
        return min(self.seconds)

    @property
    def middle(self) -> float:
        """The median time."""
        return median(self.seconds)


@dataclass(frozen=True)
class Figure:
    """A number that was asked for.

    Args:
        name: What it is.
        value: As measured.
        asked: What it should reach.
        sense: `at least` or `at most`.
        kind: `count` is deterministic, `time` is not.
    """

    name: str
    value: float
    asked: float
    sense: str = "at least"
    kind: str = "count"

    def reached(self, slack: float = 1.0) -> bool:
        """Whether it is there; times may be given slack (0.5: half is enough)."""
        if self.sense == "at least":
            return self.value >= self.asked * slack
        return self.value <= self.asked / slack


@dataclass
class Case:
    """A workload's costs, and what was asked of them."""

    name: str
    what: str
    costs: list[Cost] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)

    def cost(self, name: str) -> Cost | None:
        """A contender's cost, if it took part."""
        return next((cost for cost in self.costs if cost.name == name), None)

    def ask(
        self, name: str, own: str, other: str, of: Callable[[Cost], float | None], asked: float, kind: str = "count"
    ) -> None:
        """Ask that `other` costs at least `asked` times what `own` does, if both took part."""
        a, b = self.cost(own), self.cost(other)
        if a and b and of(a) and of(b):
            self.figures.append(Figure(name, of(b) / of(a), asked, "at least", kind))  # type: ignore[operator]


def compare(
    case: Case, contenders: Sequence[Any], unique: int, least: int, *, repeats: int, device: str = "cpu",
    dtype: str = "float32",
) -> Case:  # fmt: skip
    """Fill a case with the costs of its contenders; raises `Disagreement` before any number."""
    expected = None
    for one in contenders:
        cost = Cost(one.name, one.about, rollouts=one.rollouts.rollouts, trained=one.rollouts.trained)
        counted = count(one)
        found = counted.loss, gradients(one.model)
        expected = expected or found
        cost.gap = check(f"{case.name}, {one.name}", found, expected, TOLERANCE[dtype])
        cost.flops, cost.tokens, cost.least = counted.flops, counted.tokens / unique, least / counted.flops
        if not getattr(one, "checkpointing", False):
            cost.saved, cost.held = counted.saved, counted.held
        case.costs.append(cost)
    time_all(case, contenders, repeats, device)
    return case


def time_all(case: Case, contenders: Sequence[Any], repeats: int, device: str) -> None:
    """Time the contenders in turn, again and again, so that what else the machine does meets all of them."""
    for _ in range(repeats):
        for one, cost in zip(contenders, case.costs, strict=True):
            timed(one, cost, device)


@dataclass(frozen=True)
class Counted:
    """What does not depend on the machine's mood."""

    loss: float
    flops: int
    tokens: int
    saved: int
    held: int


def count(one: Any) -> Counted:
    """An update with everything counted; slower than it is without."""
    with ExitStack() as stack:
        tokens = stack.enter_context(measure.pushed(one.decoder))
        saved = stack.enter_context(measure.saved(one.model))
        flops = stack.enter_context(measure.flops())
        loss = one.update()
    return Counted(loss, flops.get_total_flops(), tokens.tokens, saved.total, saved.most)


def timed(one: Any, cost: Cost, device: str) -> None:
    """One timed update, with the memory it takes: the least of all times, for the first ones also fill heaps."""

    def run() -> None:
        cost.seconds.append(measure.seconds(one.update, device))

    peak = measure.peak_bytes(run, device)
    if peak is not None:
        cost.peak = peak if cost.peak is None else min(cost.peak, peak)
