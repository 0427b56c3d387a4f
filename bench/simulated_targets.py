"""Simulated targets of known skill, as `warmrl.report.comparison.build` reads them: for speed and for tests."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from warmrl.stats.estimators import distinct_at_k, pass_at_k

SAMPLING = {
    "temperature": 1.0,
    "top_p": 1.0,
    "top_k": 0,
    "max_tokens": 2048,
    "min_pixels": 262144,
    "max_pixels": 1003520,
    "dtype": "bfloat16",
    "style": "boxed",
    "chat_template": "9d1f3c07",
    "sampler": "vllm",
    "seed": 0,
    "versions": {"vllm": "0.26.0", "torch": "2.13.0"},
}
SPREAD = 1.6
"""Standard deviation of the problems' difficulty, in logits."""
OWN = 0.5
"""Standard deviation of what one target finds harder or easier than another of the same skill, in logits."""


def chances(skill: float, difficulty: NDArray[np.float64], generator: np.random.Generator) -> NDArray[np.float64]:
    """How likely one sample of a target is right, problem by problem."""
    own = generator.normal(0, OWN, len(difficulty))
    return np.asarray(1 / (1 + np.exp(difficulty - skill - own)), dtype=np.float64)


def true_accuracy(skill: float) -> float:
    """The mean chance over all problems there could be, by quadrature."""
    grid, weights = np.polynomial.hermite_e.hermegauss(64)
    chance = 1 / (1 + np.exp(grid * np.hypot(SPREAD, OWN) - skill))
    return float((weights * chance).sum() / weights.sum())


def evaluation(
    target: str, suite: str, skill: float, nats: float, *, problems: int = 300, samples: int = 16, seed: int = 0
) -> dict[str, Any]:
    """One target on one suite: `skill` shifts every problem's chance (logits), `nats` is the entropy per token."""
    place = sum(suite.encode())
    difficulty = np.random.default_rng([seed, place]).normal(0, SPREAD, problems)
    generator = np.random.default_rng([seed, place, sum(target.encode()), len(target)])
    chance = chances(skill, difficulty, generator)
    right = generator.binomial(samples, chance)
    wrong = [generator.multinomial(samples - c, [0.5, 0.25, 0.15, 0.1]) for c in right]
    counts = [[int(c), *map(int, w)] for c, w in zip(right, wrong, strict=True)]
    tokens = generator.integers(300 * samples, 700 * samples, problems).astype(float).tolist()
    entropy = (nats * (1 + generator.normal(0, 0.15, problems))).tolist()
    ks = [k for k in (1, 4, 16) if k <= samples]
    metrics = {
        "accuracy": metric((generator.random(problems) < chance).astype(float).tolist(), "share", True),
        **{f"pass@{k}": metric([pass_at_k(samples, c[0], k) for c in counts], "share", True) for k in ks},
        "diversity@8": metric([distinct_at_k(c, min(8, samples)) for c in counts], "count", None),
        "entropy": metric(entropy, "nats", None, tokens),
    }
    total, differing = problems * samples, int(generator.binomial(problems * samples, 0.012))
    return {
        "checkpoint": target,
        "suite": suite,
        "problems": [f"{suite}-{i:04d}" for i in range(problems)],
        "metrics": metrics,
        "right": right.tolist(),
        "n": [samples] * problems,
        "settings": {**SAMPLING, "samples": samples},
        "revision": f"{suite}-37e4933",
        "graders": {
            "first": "math",
            "second": "geo3k_easyr1",
            "disagreement": differing / total,
            "differing": differing,
            "compared": total,
            "second_score": float(right.sum() / total - 0.004),
        },
        "counts": {
            "samples": total,
            "truncated": int(generator.binomial(total, 0.02)),
            "no_answer": int(generator.binomial(total, 0.015)),
            "timed_out": int(generator.binomial(total, 0.0002)),
        },
        "notes": [],
        "overlap": None,
    }


def metric(
    values: list[float], unit: str, higher_is_better: bool | None, weights: list[float] | None = None
) -> dict[str, Any]:
    """A metric's values problem by problem."""
    return {"values": values, "weights": weights, "unit": unit, "higher_is_better": higher_is_better}


def comparison(
    skills: dict[str, float],
    suites: dict[str, tuple[float, int]],
    *,
    arms: dict[str, list[str]] | None = None,
    control: str | None = None,
    samples: int = 16,
    draws: int = 10_000,
    seed: int = 0,
) -> dict[str, Any]:
    """Targets of these skills on suites of (skill on it less than said, problems)."""
    return {
        "name": " · ".join(skills),
        "targets": [{"label": name, "source": f"runs/{name}#rl", "arm": None, "seed": None} for name in skills],
        "arms": arms or {},
        "control": control,
        "evaluations": [
            evaluation(name, suite, skill - less, 0.9 - 0.2 * skill, problems=problems, samples=samples, seed=seed)
            for name, skill in skills.items()
            for suite, (less, problems) in suites.items()
        ],
        "settings": {"level": 0.95, "draws": draws, "seed": 0, "method": "bca"},
        "domains": {suite: "in" if place == 0 else "out" for place, suite in enumerate(suites)},
        "force": False,
        "findings": [],
        "environment": {"python": "3.11.9", "warmrl": "0.5", "device": "cpu"},
        "reproduce": [f"warmrl compare {' '.join(f'runs/{name}#rl' for name in skills)}"],
    }
