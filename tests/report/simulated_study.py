"""A simulated study, as `warmrl.report.study.build` reads it: arms of known truth, with variance between seeds.

A run's skill is its arm's plus a draw of its seed; a problem's chance is logistic in skill less difficulty, plus what
this run finds harder or easier. Entropy is the run's own level plus noise of each problem. So every score has a truth
(`Planted.share`, and entropy as planted) that a report's intervals must cover.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

SETTINGS = {
    "temperature": 1.0,
    "top_p": 1.0,
    "seed": 0,
    "max_tokens": 32,
    "dtype": "float32",
    "sampler": "transformers",
}
OUTCOME = "rl"
SPREAD, OWN = 1.6, 0.5
"""Standard deviations, in logits: of the problems' difficulty, and of what one run finds harder than another."""
QUADRATURE = np.polynomial.hermite_e.hermegauss(64)
BASE = (-1.0, 1.1)
"""Skill (logits) and entropy (nats) of the base."""


@dataclass(frozen=True)
class Planted:
    """The truth of one arm: skill (logits) and entropy (nats per token) at RL entry and at the end."""

    entry: tuple[float, float] = (0.2, 0.6)
    end: tuple[float, float] = (1.2, 0.35)
    warm_steps: int = 80

    def share(self, point: str, k: int = 1, *, between: float = 0.25, less: float = 0.0) -> float:
        """The true pass@k at `entry` or `end` over all problems and seeds there could be, by quadrature."""
        grid, weights = QUADRATURE
        spread = np.sqrt(SPREAD**2 + OWN**2 + between**2)
        chance = 1 / (1 + np.exp(grid * spread - getattr(self, point)[0] + less))
        return float((weights * (1 - (1 - chance) ** k)).sum() / weights.sum())


ARMS = {
    "sft": Planted(entry=(0.2, 0.30), end=(1.0, 0.24)),
    "opd": Planted(entry=(0.4, 0.62), end=(1.5, 0.40)),
    "none": Planted(entry=BASE, end=(0.6, 0.60), warm_steps=0),
    "sft_overtrained": Planted(entry=(0.3, 0.12), end=(0.9, 0.11), warm_steps=480),
    "opd_long": Planted(entry=(0.6, 0.58), end=(1.5, 0.36), warm_steps=320),
    "specs": Planted(entry=(0.1, 0.55), end=(1.1, 0.38)),
}


@dataclass(frozen=True)
class Simulation:
    """What is simulated; `known` draws one study. Standard deviations `between` seeds: of skill, and of entropy."""

    arms: Mapping[str, Planted] = field(default_factory=lambda: ARMS)
    seeds: Sequence[int] = (1, 2, 3)
    suites: Mapping[str, tuple[float, int]] = field(
        default_factory=lambda: {"validation": (0.0, 100), "charts": (0.8, 60)}
    )
    """Problems of each suite, and by how much skill is less there; the first is in the domain."""
    control: str = "sft"
    samples: int = 16
    between: tuple[float, float] = (0.25, 0.03)
    outcome_steps: int = 180
    points: int = 9
    draws: int = 1000
    failed: Sequence[tuple[str, int]] = ()
    generator: int = 0

    def known(self) -> dict[str, Any]:
        """The whole input of `build`."""
        return Drawing(self).known()

    def scored(self, metrics: Sequence[str]) -> dict[str, Any]:
        """What claims about methods read of it: the evaluations alone, by these metrics."""
        drawing = Drawing(self)
        found = list(drawing.evaluations())
        kept = [{**one, "metrics": {name: one["metrics"][name] for name in metrics}} for one in found]
        return drawing.about() | {"evaluations": kept, "probe": []}

    def probed(self) -> dict[str, Any]:
        """What the regime reads of it: the probe alone."""
        drawing = Drawing(self)
        return drawing.about() | {"evaluations": [], "probe": list(drawing.probe())}

    def cells(self) -> list[tuple[str, int]]:
        """Arms and seeds that finished."""
        return [(arm, seed) for seed in self.seeds for arm in self.arms if (arm, seed) not in self.failed]


class Drawing:
    """One study drawn from a simulation."""

    def __init__(self, of: Simulation) -> None:
        self.of = of
        self.rng = np.random.default_rng(of.generator)
        self.difficulty = {
            name: self.rng.normal(0, SPREAD, count) for name, (_, count) in [*of.suites.items(), ("probe", (0.0, 100))]
        }
        self.shift = {
            cell: self.rng.normal(0, 1, 2) * np.asarray(of.between) for cell in [(None, None), *self.of.cells()]
        }

    def known(self) -> dict[str, Any]:
        """The whole input of `build`."""
        of = self.of
        return {
            **self.about(),
            "evaluations": list(self.evaluations()),
            "probe": list(self.probe()),
            "training": [row for cell in of.cells() for row in self.training(*cell)],
            "work": [row for cell in of.cells() for row in work(*cell, of)],
            "fairness": fairness(of),
            "estimates": [{"what": "time of all cells, in seconds", "estimated": 900.0, "measured": 1134.0}],
            "timings": [row for cell in of.cells() for row in timings(*cell, of)],
            "environment": {
                f"{arm}/seed-{seed}": {"python": "3.11.9", "torch": "2.13.0", "device": "cpu"}
                for arm, seed in of.cells()
            },
            "reproduce": ["warmrl run recipes/study/simulated_study.toml"],
            "findings": [],
        }

    def about(self) -> dict[str, Any]:
        """What the study is, and its cells."""
        of, first = self.of, next(iter(self.of.suites))
        return {
            "name": "simulated_study",
            "control": of.control,
            "seeds": list(of.seeds),
            "match": "prompts",
            "outcome": OUTCOME,
            "domain": {"in": first, "out": [name for name in of.suites if name != first]},
            "interval": {"level": 0.95, "draws": of.draws, "seed": 0, "method": "bca"},
            "arms": [arm_row(name, planted, of) for name, planted in of.arms.items()],
            "cells": [self.cell(arm, seed) for seed in of.seeds for arm in of.arms],
        }

    def cell(self, arm: str, seed: int) -> dict[str, Any]:
        failed = (arm, seed) in self.of.failed
        return {
            "arm": arm,
            "seed": seed,
            "state": "failed" if failed else "finished",
            "error": "Out of memory at step 12 of `rl`." if failed else None,
            "folder": f"{arm}/seed-{seed}",
        }

    def evaluations(self) -> Iterator[dict[str, Any]]:
        """Base once, then entry and end of each cell, on every suite."""
        for suite in self.of.suites:
            yield self.evaluation(None, None, "base", "base", None, suite, BASE)
        for arm, seed in self.of.cells():
            planted, warm = self.of.arms[arm], entry_of(self.of.arms[arm])
            for suite in self.of.suites:
                if warm != "base":
                    yield self.evaluation(arm, seed, "entry", warm, None, suite, planted.entry)
                yield self.evaluation(arm, seed, "end", OUTCOME, None, suite, planted.end)

    def evaluation(
        self,
        arm: str | None,
        seed: int | None,
        point: str,
        checkpoint: str,
        step: int | None,
        suite: str,
        truth: tuple[float, float],
    ) -> dict[str, Any]:
        """Samples of one checkpoint on one suite."""
        difficulty, (less, _) = self.difficulty[suite], self.of.suites[suite]
        n, names = self.of.samples, [f"{suite}-{place:04d}" for place in range(len(difficulty))]
        skill, nats = np.asarray(truth) + self.shift[arm, seed]
        chance = 1 / (1 + np.exp(difficulty - skill + less - self.rng.normal(0, OWN, len(difficulty))))
        right = self.rng.binomial(n, chance)
        return {
            "arm": arm,
            "seed": seed,
            "point": point,
            "checkpoint": checkpoint,
            "stage": checkpoint.partition("@")[0],
            "step": step,
            "suite": suite,
            "problems": names,
            "metrics": {
                "accuracy": metric((self.rng.random(len(chance)) < chance).astype(float), "share", True),
                **{f"pass@{k}": metric(pass_at(right, n, k), "share", True) for k in (1, n)},
                "diversity@4": metric(1 + 3 * (1 - chance) * self.rng.random(len(chance)), "count", None),
                "entropy": self.entropy(nats, len(difficulty)),
                "length": metric(self.rng.normal(20, 4, len(chance)), "tokens", None),
            },
            "right": right.tolist(),
            "n": [n] * len(right),
            "settings": {**SETTINGS, "samples": n},
        }

    def entropy(self, nats: float, problems: int) -> dict[str, Any]:
        """Entropy per token of each problem's answers, weighted by tokens: around `nats`."""
        tokens = self.rng.integers(300, 700, problems).astype(float)
        return metric(nats * (1 + self.rng.normal(0, 0.15, problems)), "nats", None, tokens.tolist())

    def probe(self) -> Iterator[dict[str, Any]]:
        """The probe set at the base, along each stage and at its end."""
        yield self.probed(None, None, "base", "base", None, BASE)
        for arm, seed in self.of.cells():
            planted = self.of.arms[arm]
            legs = [("warm", planted.warm_steps, BASE, planted.entry), (OUTCOME, self.of.outcome_steps, *ends(planted))]
            for stage, steps, start, end in legs:
                for step in spaced(steps, self.of.points):
                    way = (1 - np.exp(-3 * step / steps)) / (1 - np.exp(-3))
                    truth = tuple(float(one + way * (two - one)) for one, two in zip(start, end, strict=True))
                    name = stage if step == steps else f"{stage}@{step}"
                    yield self.probed(arm, seed, name, stage, step, (truth[0], truth[1]))

    def probed(
        self, arm: str | None, seed: int | None, checkpoint: str, stage: str, step: int | None, truth: Sequence[float]
    ) -> dict[str, Any]:
        """One point of the probe."""
        difficulty = self.difficulty["probe"]
        skill, nats = np.asarray(truth) + self.shift[arm, seed]
        right = self.rng.binomial(4, 1 / (1 + np.exp(difficulty - skill)))
        metrics = {"entropy": self.entropy(nats, len(difficulty)), "pass@1": metric(right / 4, "share", True)}
        return {
            "arm": arm,
            "seed": seed,
            "checkpoint": checkpoint,
            "stage": stage,
            "step": step,
            "suite": "probe",
            "problems": [f"probe-{place:04d}" for place in range(len(difficulty))],
            "metrics": metrics,
            "settings": {**SETTINGS, "samples": 4},
        }

    def training(self, arm: str, seed: int) -> Iterator[dict[str, Any]]:
        """Rows of metrics, a step each."""
        planted = self.of.arms[arm]
        for stage, steps, start, end in (
            ("warm", planted.warm_steps, BASE, planted.entry),
            (OUTCOME, self.of.outcome_steps, *ends(planted)),
        ):
            for step in range(1, steps + 1):
                skill, nats = (one + step / steps * (two - one) for one, two in zip(start, end, strict=True))
                noise = self.rng.normal(0, 1, 3)
                row = {"arm": arm, "seed": seed, "stage": stage, "step": step, "entropy": nats + 0.02 * noise[0]}
                row |= {"length": 20 + noise[1], "loss": 0.1}
                yield row | ({"reward": 1 / (1 + np.exp(-skill)) + 0.03 * noise[2]} if stage == OUTCOME else {})


def ends(planted: Planted) -> tuple[tuple[float, float], tuple[float, float]]:
    """Where the outcome stage starts and ends."""
    return planted.entry, planted.end


def entry_of(planted: Planted) -> str:
    """The checkpoint that the outcome stage starts from: an arm without warm start, the base."""
    return "warm" if planted.warm_steps else "base"


def arm_row(name: str, planted: Planted, of: Simulation) -> dict[str, Any]:
    """An arm with its stages."""
    warm = {"name": "warm", "use": name.partition("_")[0], "kind": "warm start", "steps": planted.warm_steps}
    outcome = {"name": OUTCOME, "use": "grpo", "kind": "RL algorithm", "steps": of.outcome_steps}
    return {
        "name": name,
        "stages": [*([warm] if planted.warm_steps else []), outcome],
        "entry": entry_of(planted),
    }


def spaced(steps: int, points: int) -> list[int]:
    """`points` steps of a stage, evenly spaced, its end the last."""
    return sorted({max(1, round(steps * (place + 1) / points)) for place in range(points)}) if steps else []


def pass_at(right: NDArray[np.int64], n: int, k: int) -> NDArray[np.float64]:
    """pass@1 and pass@n, the two that need no binomials."""
    return np.asarray(right / n if k == 1 else right > 0, dtype=np.float64)


def metric(
    values: NDArray[np.float64], unit: str, higher: bool | None, weights: list[float] | None = None
) -> dict[str, Any]:
    """A metric's values problem by problem."""
    own = np.asarray(values, dtype=np.float64).tolist()
    return {"values": own, "weights": weights or [1.0] * len(own), "unit": unit, "higher_is_better": higher}


def work(arm: str, seed: int, of: Simulation) -> Iterator[dict[str, Any]]:
    """What went through each stage."""
    planted = of.arms[arm]
    for stage, steps, teacher in (("warm", planted.warm_steps, arm.startswith("opd")), (OUTCOME, of.outcome_steps, 0)):
        if not steps:
            continue
        prompts = 32 * steps
        tokens = 20 * prompts
        yield {
            "arm": arm,
            "seed": seed,
            "stage": stage,
            "part": "outcome" if stage == OUTCOME else "warm",
            "prompts": prompts,
            "samples": prompts if teacher or stage == OUTCOME else 0,
            "sampled_tokens": tokens if teacher or stage == OUTCOME else 0,
            "trained_tokens": tokens,
            "teacher_tokens": tokens if teacher else 0,
            "updates": steps,
            "flops": {"sample": 0.0, "score": 0.0, "train": 6e6 * tokens, "teacher": 4e6 * tokens if teacher else 0.0},
        }


def timings(arm: str, seed: int, of: Simulation) -> Iterator[dict[str, Any]]:
    """Seconds of each phase of each stage."""
    for stage, steps in (("warm", of.arms[arm].warm_steps), (OUTCOME, of.outcome_steps)):
        for phase, each in (("sample", 0.4), ("train", 0.3), ("score", 0.05)):
            if steps:
                yield {"arm": arm, "seed": seed, "stage": stage, "phase": phase, "seconds": steps * each}


def fairness(of: Simulation) -> list[dict[str, Any]]:
    """A row of each kind."""
    rows = [
        ("model.max_pixels", 1003520, "matched", None),
        ("stage.warm.learning_rate", 5e-4, "declared", "each method's own, chosen by one rule"),
    ]
    return [
        {"path": path, "arms": dict.fromkeys(of.arms, value), "status": status, "reason": reason}
        for path, value, status, reason in rows
    ]


def big(problems: int = 300, seeds: int = 3, draws: int = 10_000) -> Simulation:
    """6 arms x 3 seeds x 300 problems x 16 samples on two suites, as the issue's figures ask."""
    suites = {"validation": (0.0, problems), "charts": (0.8, problems)}
    return Simulation(seeds=tuple(range(1, seeds + 1)), suites=suites, draws=draws)
