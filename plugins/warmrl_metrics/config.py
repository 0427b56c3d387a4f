"""Settings of the built-in metrics."""

from warmrl.api import Config


class MetricConfig(Config):
    """These metrics have no settings: a number of samples is part of the name (`pass@16`).

    Formulas: `docs/metrics.md`.
    """
