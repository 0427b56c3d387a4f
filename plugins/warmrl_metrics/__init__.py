"""Built-in metrics: how right samples are, how uncertain and how varied, and rates that show how answers fail."""

from __future__ import annotations

from warmrl.api import Register, hookimpl
from warmrl_metrics.config import MetricConfig

METRICS = {
    "accuracy": "rightness:Accuracy",
    "avg": "rightness:Average",
    "pass": "rightness:Pass",
    "pass^": "rightness:PassAll",
    "maj": "rightness:Majority",
    "unsolved": "stuckness:Unsolved",
    "stuck": "stuckness:Stuck",
    "entropy": "entropy:Entropy",
    "entropy_sequence": "entropy:EntropySequence",
    "entropy_sampling": "entropy:EntropySampling",
    "surprisal": "entropy:Surprisal",
    "branching": "entropy:Branching",
    "diversity": "diversity:Diversity",
    "diversity_answered": "diversity:DiversityAnswered",
    "collision": "diversity:Collision",
    "effective_answers": "diversity:EffectiveAnswers",
    "answer_entropy_biased": "diversity:AnswerEntropyBiased",
    "length": "rates:Length",
    "truncated": "rates:Truncated",
    "extraction_failure": "rates:ExtractionFailure",
    "format": "rates:Format",
    "timed_out": "rates:TimedOut",
}
"""Where each one is; a name that ends in `^` or takes k is spelled with it: `pass^4`, `pass@16`."""


@hookimpl
def warmrl_register_metrics(register: Register) -> None:
    """Register every metric of this package."""
    for name, where in METRICS.items():
        register(name, config=MetricConfig, implementation=f"warmrl_metrics.{where}", revision="2")
