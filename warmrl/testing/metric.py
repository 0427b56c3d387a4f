"""The contract of metrics."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

from warmrl.domain.metric import Metric
from warmrl.domain.names import MetricName
from warmrl.domain.sample import Sample, Value, Verdict
from warmrl.testing.plugin import PluginContract


def samples_of(verdicts: Sequence[Verdict], known: bool = True) -> list[Sample]:
    """One sample of problem `p` per verdict, with different answers, lengths and entropies."""
    return [
        Sample(
            problem="p",
            index=index,
            text=f"answer {index}",
            extracted=None if verdict == "no answer" else str(index % 3),
            canonical=None if verdict == "no answer" else str(index % 3),
            verdict=verdict,
            well_formed=verdict != "no answer",
            finish="length" if verdict == "no answer" else "stop",
            tokens=5 + index,
            entropy=0.5 + index if known else None,
            surprisal=0.4 + index if known else None,
        )
        for index, verdict in enumerate(verdicts)
    ]


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

    def cases(self) -> list[list[Sample]]:
        """Samples of one problem: as many as the metric reads."""
        if self.metric().reads == "greedy":
            return [samples_of([verdict]) for verdict in ("right", "wrong", "no answer")]
        mixed: list[Verdict] = ["right", "wrong", "no answer", "right"]
        count = max(2 * self.k, 4)
        return [samples_of([verdict] * count) for verdict in mixed[:3]] + [samples_of(mixed * (count // 4 + 1))]

    def hold(self, found: Any) -> None:
        """Hold a value to what the metric declares."""
        assert found is None or isinstance(found, Value)
        if found is not None:
            assert math.isfinite(found.value)
            assert math.isfinite(found.weight)
            assert found.weight >= 0
            assert self.metric().unit != "share" or 0 <= found.value <= 1

    def test_values_are_finite(self) -> None:
        for samples in self.cases():
            self.hold(self.metric().value(samples))

    def test_some_samples_have_a_value(self) -> None:
        assert any(self.metric().value(samples) is not None for samples in self.cases())

    def test_order_does_not_matter(self) -> None:
        for samples in self.cases():
            one, other = self.metric().value(samples), self.metric().value(samples[::-1])
            assert (one is None) == (other is None)
            if one is not None and other is not None:
                assert math.isclose(one.value, other.value, rel_tol=1e-12, abs_tol=1e-12)
                assert math.isclose(one.weight, other.weight, rel_tol=1e-12)

    def test_ids_do_not_matter(self) -> None:
        for samples in self.cases():
            renamed = [replace(one, problem="q", index=one.index + 100) for one in samples]
            assert self.metric().value(renamed) == self.metric().value(samples)

    def test_unknown_entropy_is_survived(self) -> None:
        verdict: Verdict = "right"
        count = 1 if self.metric().reads == "greedy" else max(2 * self.k, 4)
        self.hold(self.metric().value(samples_of([verdict] * count, known=False)))
