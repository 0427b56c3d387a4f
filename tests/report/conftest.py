"""A simulated run with the shape that the engine gives to `build`: base, OPD, GRPO, two suites, 300 problems."""

import math
from typing import Any

import numpy as np
import pytest

from warmrl.stats.estimators import distinct_at_k, pass_at_k

SAMPLING = {
    "temperature": 1.0,
    "top_p": 1.0,
    "samples": 16,
    "max_tokens": 96,
    "seed": 0,
    "backend": "transformers 5.17",
}


def metric(values: list[Any], unit: str, higher: bool | None, weights: list[Any] | None = None) -> dict[str, Any]:
    return {"values": values, "weights": weights or [1.0] * len(values), "unit": unit, "higher_is_better": higher}


def evaluation(checkpoint: str, suite: str, skill: float, nats: float, problems: int = 300) -> dict[str, Any]:
    """Samples of one checkpoint: `skill` shifts every problem's chance, `nats` is the entropy per token."""
    generator = np.random.default_rng([len(suite), round(1000 + 100 * skill)])
    difficulty = np.random.default_rng(len(suite)).normal(0, 1.6, problems)
    chance = 1 / (1 + np.exp(difficulty - skill))
    right = generator.binomial(16, chance)
    wrong = [generator.multinomial(16 - c, [0.5, 0.25, 0.15, 0.1]) for c in right]
    tokens = generator.integers(300, 700, problems).astype(float)
    stage, _, step = checkpoint.partition("@")
    counts = [[int(c), *map(int, w)] for c, w in zip(right, wrong, strict=True)]
    greedy = (np.random.default_rng(7).random(problems) < chance).astype(float)
    return {
        "checkpoint": checkpoint,
        "stage": stage,
        "step": int(step) if step else None,
        "suite": suite,
        "problems": [f"{suite}-{i:04d}" for i in range(problems)],
        "metrics": {
            "accuracy": metric(greedy.tolist(), "share", True),
            "pass@1": metric([pass_at_k(16, c[0], 1) for c in counts], "share", True),
            "pass@16": metric([pass_at_k(16, c[0], 16) for c in counts], "share", True),
            "diversity@8": metric([distinct_at_k(c, 8) for c in counts], "count", None),
            "entropy": metric((nats + generator.normal(0, 0.08, problems)).tolist(), "nats", None, tokens.tolist()),
            "length": metric((tokens / 16).tolist(), "tokens", None),
        },
        "right": right.tolist(),
        "n": [16] * problems,
        "settings": SAMPLING,
    }


def rows(stage: str, steps: int, start: tuple[float, float], end: tuple[float, float]) -> list[dict[str, Any]]:
    """Metrics rows that move from (entropy, reward) at `start` to those at `end`."""
    generator = np.random.default_rng(steps)
    found = []
    for step in range(1, steps + 1):
        share = 1 - math.exp(-3 * step / steps)
        entropy, reward = (one + share * (two - one) for one, two in zip(start, end, strict=True))
        found.append(
            {
                "stage": stage,
                "step": step,
                "loss": float(generator.normal(0.1, 0.02)),
                "grad_norm": float(generator.gamma(2, 0.2)),
                "learning_rate": 1.5e-4,
                "entropy": float(entropy + generator.normal(0, 0.02)),
                "reward": float(reward + generator.normal(0, 0.03)),
                "length": float(34 - 8 * share + generator.normal(0, 1)),
                "truncated": 0.0,
            }
        )
    return found


def stage(name: str, use: str, kind: str, policy: str, steps: int, seconds: float, made: list[Any]) -> dict[str, Any]:
    return {
        "name": name,
        "use": use,
        "kind": kind,
        "policy": policy,
        "key": f"{name:0<12}e3b0c44298fc1c149afbf4c8996fb924"[:40],
        "reused": False,
        "seconds": seconds,
        "steps": steps,
        "work": None,
        "rows": made,
    }


def simulated_run() -> dict[str, Any]:
    points = {"base": (-1.0, 1.10), "warm": (0.2, 0.62), "rl@60": (0.9, 0.47), "rl": (1.4, 0.38)}
    return {
        "name": "opd_then_grpo",
        "seed": 17,
        "recipe": {
            "version": 1,
            "name": "opd_then_grpo",
            "seed": 17,
            "model": {"path": "pocket:base", "dtype": "float32"},
            "stage": {"warm": {"use": "opd", "steps": 80}, "rl": {"use": "grpo", "policy": "warm", "steps": 180}},
            "eval": {"at": list(points), "samples": 16, "seed": 0, "interval": 0.95, "bootstrap": 1000},
        },
        "environment": {
            "python": "3.11.9",
            "torch": "2.13.0",
            "device": "cpu",
            "threads": 2,
            "packages": {"numpy": "2.4"},
        },
        "stages": [
            stage("warm", "opd", "warm start", "base", 80, 61.4, rows("warm", 80, (1.1, 0.3), (0.62, 0.52))),
            stage("rl", "grpo", "RL algorithm", "warm", 180, 143.2, rows("rl", 180, (0.62, 0.52), (0.38, 0.78))),
        ],
        "evaluations": [
            *(evaluation(name, "validation", *point) for name, point in points.items()),
            *(evaluation(name, "charts", 0.1 * points[name][0] - 0.5, 1.3 * points[name][1], 120) for name in points),
        ],
        "findings": ["Student and teacher share all 512 tokens, template and end of sequence."],
        "budget": {"prompts": 5440, "samples": 25600, "student tokens trained": 712_000},
    }


@pytest.fixture
def run() -> dict[str, Any]:
    return simulated_run()
