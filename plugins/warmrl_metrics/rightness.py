"""How right a problem's samples are: one, their mean, the best, all, or the most common of k. None is ever dropped."""

from __future__ import annotations

from collections.abc import Sequence

from warmrl.api import Metric, Sample, Value
from warmrl.engine.api import maj_at_k, pass_at_k, pass_hat_k
from warmrl_metrics.config import MetricConfig
from warmrl_metrics.means import average


class Accuracy(Metric[MetricConfig]):
    """Mean score of the greedy answers: the share that is right, where the grader knows right and wrong alone."""

    reads = "greedy"

    def value(self, samples: Sequence[Sample]) -> Value | None:
        """The greedy answer's score: 1 when it is right."""
        return average(sample.score for sample in samples)


class Average(Metric[MetricConfig]):
    """avg@k: mean score of all n >= k samples, sum_i s_i / n; for scores of 0 and 1 it is pass@1 (Chen 2021)."""

    takes_k = True

    def value(self, samples: Sequence[Sample]) -> Value | None:
        """Mean score. Raises ValueError for fewer than k samples."""
        if len(samples) < self.k:
            raise ValueError(f"{self.name} needs at least {self.k} samples; there are {len(samples)} samples")
        return average(sample.score for sample in samples)


class Pass(Metric[MetricConfig]):
    """pass@k: the chance that k samples hold a right one, 1 - C(n-c, k) / C(n, k) (Chen 2021). pass@1 is avg@n."""

    takes_k = True

    def value(self, samples: Sequence[Sample]) -> Value | None:
        """pass@k of n samples of which c are right. Raises ValueError for n < k."""
        return Value(pass_at_k(len(samples), sum(sample.right for sample in samples), self.k))


class PassAll(Metric[MetricConfig]):
    """pass^k: the chance that all of k samples are right, C(c, k) / C(n, k) (Yao 2024, arXiv:2406.12045)."""

    takes_k = True

    def value(self, samples: Sequence[Sample]) -> Value | None:
        """pass^k of n samples of which c are right. Raises ValueError for n < k."""
        return Value(pass_hat_k(len(samples), sum(sample.right for sample in samples), self.k))


class Majority(Metric[MetricConfig]):
    """maj@k: the chance that the most common answer of k samples is right (Wang 2023, arXiv:2203.11171).

    Samples vote by the canonical form of their answer, one without an answer for none. When several answers are the
    most common, each has its share of the credit: no order of samples matters. For k < n the mean over the subsets
    of k samples. An answer is right when most of the samples that gave it were graded so.
    """

    takes_k = True

    def value(self, samples: Sequence[Sample]) -> Value | None:
        """maj@k of n samples. Raises ValueError for n < k."""
        votes: dict[str, list[bool]] = {}
        for sample in samples:
            if sample.canonical is not None:
                votes.setdefault(sample.canonical, []).append(sample.right)
        silent = sum(sample.canonical is None for sample in samples)
        right = [2 * sum(graded) > len(graded) for graded in votes.values()]
        return Value(maj_at_k([len(graded) for graded in votes.values()], right, self.k, silent=silent))
