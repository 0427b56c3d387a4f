"""Built-in metrics: accuracy, pass@k, policy entropy, answer diversity, and rates that show how answers fail."""

from __future__ import annotations

from warmrl.api import Register, hookimpl
from warmrl_metrics.config import MetricConfig


@hookimpl
def warmrl_register_metrics(register: Register) -> None:
    """Register every metric of this package."""
    for name, implementation in {
        "accuracy": "Accuracy",
        "pass": "Pass",
        "entropy": "Entropy",
        "diversity": "Diversity",
        "length": "Length",
        "truncated": "Truncated",
        "extraction_failure": "ExtractionFailure",
        "format": "Format",
    }.items():
        register(name, config=MetricConfig, implementation=f"warmrl_metrics.metrics:{implementation}", revision="1")
