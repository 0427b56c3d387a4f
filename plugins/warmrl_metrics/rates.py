"""How samples come out, whatever their answer: length, cut at the limit, unreadable, malformed, graded too slowly."""

from __future__ import annotations

from collections.abc import Sequence

from warmrl.api import Metric, Sample, Value
from warmrl_metrics.config import MetricConfig
from warmrl_metrics.means import average


class Length(Metric[MetricConfig]):
    """Mean length of a sampled answer, in tokens, the end-of-sequence token included."""

    unit = "tokens"
    higher_is_better = None

    def value(self, samples: Sequence[Sample]) -> Value | None:
        """Mean tokens of the samples; None when those of one aren't known."""
        lengths = [one.tokens for one in samples if one.tokens is not None]
        return average(lengths) if len(lengths) == len(samples) else None


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


class TimedOut(Metric[MetricConfig]):
    """Share of samples that the grader gave up on at its deadline."""

    higher_is_better = False

    def value(self, samples: Sequence[Sample]) -> Value | None:
        """Share of samples whose verdict is `timed out`."""
        return average(sample.verdict == "timed out" for sample in samples)
