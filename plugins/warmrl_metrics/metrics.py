"""What each metric says of one problem's samples; no sample is ever dropped, a cut or unreadable one is wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from warmrl.api import Metric, Sample, Value
from warmrl.engine.api import distinct_at_k, pass_at_k
from warmrl_metrics.config import MetricConfig


class Accuracy(Metric[MetricConfig]):
    """Share of problems whose greedy answer is right."""

    reads = "greedy"

    def value(self, samples: Sequence[Sample]) -> Value | None:
        """1 when the greedy answer is right, else 0."""
        return average(sample.right for sample in samples)


class Pass(Metric[MetricConfig]):
    """pass@k: the chance that k samples hold a right one, 1 - C(n-c, k) / C(n, k) (Chen 2021). pass@1 is avg@n."""

    takes_k = True

    def value(self, samples: Sequence[Sample]) -> Value | None:
        """pass@k of n samples of which c are right."""
        return Value(pass_at_k(len(samples), sum(sample.right for sample in samples), self.k))


class Entropy(Metric[MetricConfig]):
    """Policy entropy, nats per token: exact over the whole vocabulary, temperature 1, on the policy's own samples.

    A problem's value is its summed entropy over its tokens, weighted by its tokens, so that the weighted mean over
    problems is the token mean: sum of entropies / sum of tokens. Completion tokens up to the end-of-sequence token.
    """

    unit = "nats"
    higher_is_better = None

    def value(self, samples: Sequence[Sample]) -> Value | None:
        """Entropy per token and the number of tokens; None when a sample's entropy isn't known."""
        entropies = [sample.entropy for sample in samples if sample.entropy is not None]
        tokens = sum(sample.tokens for sample in samples)
        if len(entropies) < len(samples) or tokens == 0:
            return None
        return Value(sum(entropies) / tokens, weight=tokens)


class Diversity(Metric[MetricConfig]):
    """diversity@k: how many different answers k samples give, sum_a [1 - C(n-c_a, k) / C(n, k)]; between 1 and k.

    Answers are compared in canonical form. All samples without a readable answer count as one answer of their own.
    """

    takes_k = True
    unit = "count"
    higher_is_better = None

    def value(self, samples: Sequence[Sample]) -> Value | None:
        """Expected number of distinct answers among k of the n samples."""
        return Value(distinct_at_k(list(Counter(sample.canonical for sample in samples).values()), self.k))


class Length(Metric[MetricConfig]):
    """Mean length of a sampled answer, in tokens."""

    unit = "tokens"
    higher_is_better = None

    def value(self, samples: Sequence[Sample]) -> Value | None:
        """Mean tokens of the samples."""
        return average(sample.tokens for sample in samples)


class Truncated(Metric[MetricConfig]):
    """Share of samples cut at the token limit."""

    higher_is_better = False

    def value(self, samples: Sequence[Sample]) -> Value | None:
        """Share of samples whose finish is `length`."""
        return average(sample.finish == "length" for sample in samples)


class ExtractionFailure(Metric[MetricConfig]):
    """Share of samples in which no answer was found."""

    higher_is_better = False

    def value(self, samples: Sequence[Sample]) -> Value | None:
        """Share of samples without an extracted answer."""
        return average(sample.extracted is None for sample in samples)


class Format(Metric[MetricConfig]):
    """Share of samples in the form that the instruction asks for."""

    def value(self, samples: Sequence[Sample]) -> Value | None:
        """Share of well-formed samples."""
        return average(sample.well_formed for sample in samples)


def average(numbers: Iterable[float]) -> Value | None:
    """The plain mean, None of nothing."""
    listed = list(numbers)
    return Value(sum(listed) / len(listed)) if listed else None
