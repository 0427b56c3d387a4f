"""How many different answers a policy gives to a problem. Answers are compared in canonical form.

All samples without an answer count as one answer of their own, unless a metric says otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence

from warmrl.api import Metric, Sample, Value
from warmrl.engine.api import collision, distinct_at_k, plugin_entropy_biased
from warmrl_metrics.config import MetricConfig
from warmrl_metrics.means import answer_counts

NO_AGREEMENT = 2.0**-40
"""The collision that stands for none in `effective_answers`: a power of two, so weight times value is exactly 1."""


class Diversity(Metric[MetricConfig]):
    """diversity@k: how many different answers k samples give, sum_a [1 - C(n-c_a, k) / C(n, k)]; between 1 and k.

    Rarefaction (Hurlbert 1971), unbiased for k <= n: the twin of pass@k.
    """

    takes_k = True
    unit = "count"
    higher_is_better = None

    def value(self, samples: Sequence[Sample]) -> Value | None:
        """Expected number of distinct answers among k of the n samples. Raises ValueError for n < k."""
        return Value(distinct_at_k(with_silent(samples), self.k))


class DiversityAnswered(Metric[MetricConfig]):
    """diversity@k among the samples that have an answer, the others left out.

    A problem with fewer than k of those says nothing and is missing: read it beside `extraction_failure`.
    """

    takes_k = True
    unit = "count"
    higher_is_better = None

    def value(self, samples: Sequence[Sample]) -> Value | None:
        """Expected number of distinct answers among k of the answered samples; None for fewer than k of them."""
        counts, _ = answer_counts(samples)
        return Value(distinct_at_k(counts, self.k)) if sum(counts) >= self.k else None


class Collision(Metric[MetricConfig]):
    """The chance that two samples give the same answer, sum_a c_a (c_a - 1) / (n (n - 1)) (Simpson 1949); unbiased."""

    least = 2
    higher_is_better = None

    def value(self, samples: Sequence[Sample]) -> Value | None:
        """Share of pairs of samples that agree. Raises ValueError for fewer than two samples."""
        return Value(collision(with_silent(samples)))


class EffectiveAnswers(Metric[MetricConfig]):
    """Effective number of answers, 1 / (mean over problems of `collision`): so many equally likely ones agree as often.

    The mean is taken before the quotient. One problem's 1 / collision is infinite when no two of its samples agree,
    and biased when they do; the mean of the collisions is neither. A problem has the value 1 / collision and the
    weight collision, so that the weighted mean over problems is problems / sum of collisions. Where none of a
    problem's samples agree the weight is 2^-40 and the value 2^40; a score near 2^40 says that no two samples of any
    problem agreed, which is no measurement: draw more.
    """

    least = 2
    unit = "count"
    higher_is_better = None

    def value(self, samples: Sequence[Sample]) -> Value | None:
        """1 / collision, weighted by the collision. Raises ValueError for fewer than two samples."""
        agree = collision(with_silent(samples)) or NO_AGREEMENT
        return Value(1 / agree, weight=agree)


class AnswerEntropyBiased(Metric[MetricConfig]):
    """Entropy of the answers in nats by the plug-in formula, -sum_a (c_a / n) ln (c_a / n).

    Biased low at few samples (at n = 16: 1.83 where the truth is 2.47), so it only compares policies at the same n.
    """

    unit = "nats"
    higher_is_better = None

    def value(self, samples: Sequence[Sample]) -> Value | None:
        """The plug-in entropy of one problem's answers."""
        return Value(max(0.0, plugin_entropy_biased(with_silent(samples)))) if samples else None


def with_silent(samples: Sequence[Sample]) -> list[int]:
    """How often each answer was given, no answer being one of them."""
    counts, silent = answer_counts(samples)
    return [*counts, silent] if silent else counts
