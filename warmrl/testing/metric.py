"""The contract of metrics."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

from warmrl.domain.metric import Metric
from warmrl.domain.names import MetricName
from warmrl.domain.sample import Sample, Value, Verdict
from warmrl.testing.plugin import PluginContract

NEEDED = frozenset({"entropy_sampling", "nucleus"})
"""What a metric may name in `needs`."""


def samples_of(verdicts: Sequence[Verdict], known: bool = True) -> list[Sample]:
    """One sample of problem `p` per verdict, with different answers, lengths and entropies, some scores in part.

    Numbers are such that a plain sum of them depends on their order. `known` says whether per-token numbers are.
    """
    return [sample_of(index, verdict, known) for index, verdict in enumerate(verdicts)]


def sample_of(index: int, verdict: Verdict, known: bool = True) -> Sample:
    """One sample of problem `p`."""
    answer = None if verdict in ("no answer", "timed out") else f"{verdict} {index % 3}"
    tokens = 5 + index
    number = 0.1 * tokens * (1 + index % 7) ** 0.5  # nats over its tokens
    score = 1.0 if verdict == "right" else 0.1 * (index % 4) if verdict == "wrong" else 0.0
    return Sample(
        problem="p",
        index=index,
        text=f"answer {index}",
        extracted=answer,
        canonical=answer,
        verdict=verdict,
        well_formed=answer is not None,
        finish="stop" if answer else "length",
        tokens=tokens,
        entropy=number if known else None,
        surprisal=0.9 * number if known else None,
        score=score,
        parts={"answer": score, "format": float(answer is not None)},
        entropy_sampling=0.7 * number if known else None,
        nucleus=float(tokens * (1 + index % 5)) if known else None,
    )


class MetricContract(PluginContract):
    """A pure function of a problem's samples: a finite value and a weight, whatever their order."""

    kind: ClassVar[str] = "metric"
    base: ClassVar[type] = Metric
    k: ClassVar[int] = 4
    """The k that a metric which takes one is tried with."""

    def metric(self) -> Any:
        """The metric under test, spelled as in a recipe."""
        implementation = self.registration().load()
        return implementation(self.config(), MetricName(self.name, self.k if implementation.takes_k else None))

    def count(self) -> int:
        """How many samples the metric is tried with."""
        return 1 if self.metric().reads == "greedy" else max(2 * self.k, self.metric().least, 4)

    def cases(self) -> list[list[Sample]]:
        """Samples of one problem: as many as the metric reads."""
        mixed: list[Verdict] = ["right", "wrong", "no answer", "timed out", "right"]
        count = self.count()
        uniform = [samples_of([verdict] * count) for verdict in mixed[:4]]
        return uniform if count == 1 else [*uniform, samples_of((mixed * count)[: count + 1])]

    def hold(self, found: Any) -> None:
        """Hold a value to what the metric declares."""
        assert found is None or isinstance(found, Value)
        if found is not None:
            assert math.isfinite(found.value)
            assert math.isfinite(found.weight)
            assert found.weight >= 0
            assert found.cluster is None or isinstance(found.cluster, str)
            assert self.metric().unit != "share" or 0 <= found.value <= 1

    def test_values_are_finite(self) -> None:
        for samples in self.cases():
            self.hold(self.metric().value(samples))

    def test_some_samples_have_a_value(self) -> None:
        assert any(self.metric().value(samples) is not None for samples in self.cases())

    def test_order_does_not_matter(self) -> None:
        """To the last bit: sum with `math.fsum`."""
        draw = random.Random(0)  # noqa: S311 - nothing secret
        metric = self.metric()
        for samples in self.cases():
            found = metric.value(samples)
            for _ in range(20):
                assert metric.value(draw.sample(samples, len(samples))) == found

    def test_ids_do_not_matter(self) -> None:
        for samples in self.cases():
            renamed = [replace(one, problem="q", index=one.index + 100) for one in samples]
            one, other = self.metric().value(renamed), self.metric().value(samples)
            assert (one and (one.value, one.weight)) == (other and (other.value, other.weight))

    def test_unknown_entropy_is_survived(self) -> None:
        verdict: Verdict = "right"
        self.hold(self.metric().value(samples_of([verdict] * self.count(), known=False)))

    def test_what_it_needs_is_missing_when_unknown(self) -> None:
        """A number that no pass has computed is no zero: with one of them unknown the problem has no value."""
        assert self.metric().needs <= NEEDED
        for name in self.metric().needs:
            for samples in self.cases():
                unknown: dict[str, Any] = {name: None}
                assert self.metric().value([replace(samples[0], **unknown), *samples[1:]]) is None
