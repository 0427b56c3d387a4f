"""How uncertain the policy is on its own samples: four different numbers in nats, and the branching factor.

All speak of the completion's tokens up to the end-of-sequence token; prompt and image tokens are in no sum.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from warmrl.api import Metric, Sample, Value
from warmrl_metrics.config import MetricConfig
from warmrl_metrics.means import per_token


class Entropy(Metric[MetricConfig]):
    """Policy entropy, nats per token: exact over the whole vocabulary, temperature 1, on the policy's own samples.

    H = -sum_v p_v ln p_v of each token's distribution, no top-p. A problem's value is its summed entropy over its
    tokens, weighted by its tokens, so that the weighted mean over problems is the token mean: sum of entropies / sum
    of tokens. Not what EasyR1 logs under this name (`surprisal`), nor TRL and verl (`entropy_sampling`).
    """

    unit = "nats"
    higher_is_better = None

    def value(self, samples: Sequence[Sample]) -> Value | None:
        """Entropy per token and the number of tokens; None when a sample's entropy isn't known."""
        return per_token(samples, (sample.entropy for sample in samples))


class EntropySequence(Metric[MetricConfig]):
    """Policy entropy as the mean over samples of each one's mean over tokens, nats: every sample counts the same.

    The same distributions as `entropy` (exact, temperature 1); it differs from it where long samples are more, or
    less, certain than short ones. A sample without tokens has no mean and is left out.
    """

    unit = "nats"
    higher_is_better = None

    def value(self, samples: Sequence[Sample]) -> Value | None:
        """Mean of the samples' means, and how many samples; None when a sample's entropy isn't known."""
        spoken = [one for one in samples if one.tokens != 0]
        means = [one.entropy / one.tokens if one.entropy is not None and one.tokens else None for one in spoken]
        known = [mean for mean in means if mean is not None]
        return Value(math.fsum(known) / len(known), weight=len(known)) if known and len(known) == len(means) else None


class EntropySampling(Metric[MetricConfig]):
    """Entropy at the temperature T that was sampled with, nats per token: of p^(1/T) / sum p^(1/T), before any top-p.

    Token mean as `entropy`, which it equals at T = 1. What TRL and verl log.
    """

    needs = frozenset({"entropy_sampling"})
    unit = "nats"
    higher_is_better = None

    def value(self, samples: Sequence[Sample]) -> Value | None:
        """Entropy per token and the number of tokens; None when a sample's isn't known."""
        return per_token(samples, (sample.entropy_sampling for sample in samples))


class Surprisal(Metric[MetricConfig]):
    """Mean -log p of the sampled tokens, nats per token: p the policy's probabilities at temperature 1.

    Its expectation is `entropy` for samples drawn at temperature 1 without top-p, with a spread of some 2.5 nats a
    token; for other samples it is a cross-entropy. What EasyR1 logs as entropy, there at the sampling temperature.
    """

    unit = "nats"
    higher_is_better = None

    def value(self, samples: Sequence[Sample]) -> Value | None:
        """Surprisal per token and the number of tokens; None when a sample's isn't known."""
        return per_token(samples, (sample.surprisal for sample in samples))


class Branching(Metric[MetricConfig]):
    """Rollout branching factor: mean size, over tokens, of the top-p 0.95 nucleus at temperature 1.

    The nucleus is the smallest set of most likely tokens whose mass reaches 0.95 (Holtzman 2020, arXiv:1904.09751):
    between how many tokens the policy really chooses at a step.
    """

    needs = frozenset({"nucleus"})
    unit = "count"
    higher_is_better = None

    def value(self, samples: Sequence[Sample]) -> Value | None:
        """Tokens in the nucleus per token, and the number of tokens; None when a sample's isn't known."""
        return per_token(samples, (sample.nucleus for sample in samples))
