"""How often a policy takes a second look: the share of completions with a word of reflection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from warmrl.api import Metric, Problem, Reward, Sample, Value
from warmrl_vlaa.config import MetricConfig, ReflectionConfig
from warmrl_vlaa.item import has_any

WORDS = tuple(ReflectionConfig().words)
"""What Chen et al. 2025 (arXiv:2504.11468) count during GRPO (methods.md B.8)."""


class ReflectionReward(Reward[ReflectionConfig]):
    """1.0 for a completion with one of the `words`, else 0.0; the gold answer is not read."""

    reads_gold: ClassVar[bool] = False

    def score(self, problem: Problem, completions: Sequence[str]) -> list[float]:
        """1.0 or 0.0 for each completion, in order."""
        return [float(has_any(text, self.config.words)) for text in completions]


class Reflection(Metric[MetricConfig]):
    """Share of samples with one of the paper's four words."""

    higher_is_better = None

    def value(self, samples: Sequence[Sample]) -> Value | None:
        """Share of a problem's samples; None of nothing."""
        return Value(sum(has_any(one.text, WORDS) for one in samples) / len(samples)) if samples else None
