"""Whether a policy is stuck: how many problems it never solves, and whether it always gives the same wrong answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from warmrl.api import Metric, Sample, Value
from warmrl.engine.api import pass_at_k
from warmrl_metrics.config import MetricConfig


class Unsolved(Metric[MetricConfig]):
    """unsolved@k: the chance that k samples hold no right one, C(n-c, k) / C(n, k) = 1 - pass@k; unbiased."""

    takes_k = True
    higher_is_better = False

    def value(self, samples: Sequence[Sample]) -> Value | None:
        """1 - pass@k of n samples of which c are right. Raises ValueError for n < k."""
        return Value(unsolved(samples, self.k))


class Stuck(Metric[MetricConfig]):
    """stuck@k: where k samples find no right answer, the share of the most common wrong one among the wrong ones.

    Between 1 / (n - c), all differ, and 1, always the same mistake; all samples without an answer are one answer. A
    problem weighs `unsolved@k`, so the score is a mean over the problems that k samples leave unsolved. The largest of
    a few counts is biased upwards: compare policies at the same n.
    """

    takes_k = True
    higher_is_better = False

    def value(self, samples: Sequence[Sample]) -> Value | None:
        """The largest share, weighted by `unsolved@k`; None where k samples always hold a right one.

        Raises ValueError for n < k.
        """
        weight = unsolved(samples, self.k)
        if weight == 0:
            return None
        wrong = Counter(sample.canonical for sample in samples if not sample.right)
        return Value(max(wrong.values()) / wrong.total(), weight=weight)


def unsolved(samples: Sequence[Sample], k: int) -> float:
    """The chance that k of the n samples hold no right one."""
    return 1 - pass_at_k(len(samples), sum(sample.right for sample in samples), k)
