"""The built-in metrics in closed form, on samples small enough to count by hand."""

import importlib
import math

import pytest
import warmrl_metrics
from warmrl_metrics.config import MetricConfig
from warmrl_metrics.metrics import (
    Accuracy,
    Diversity,
    Entropy,
    ExtractionFailure,
    Format,
    Length,
    Pass,
    Truncated,
)

from warmrl.api import Metric, MetricName, Sample, Value


def sample(
    index: int = 0,
    answer: str | None = "12",
    right: bool = False,
    tokens: int = 10,
    entropy: float | None = 1.0,
    finish: str = "stop",
    well_formed: bool = True,
) -> Sample:
    verdict = "right" if right else "wrong" if answer is not None else "no answer"
    return Sample("p", index, f"= {answer}", answer, answer, verdict, well_formed, finish, tokens, entropy, entropy)


def metric(kind: type[Metric], spelled: str) -> Metric:
    return kind(MetricConfig(), MetricName.parse(spelled))


def answers(text: str) -> list[Sample]:
    """One sample per letter; `-` has no answer, `r` is right."""
    return [sample(i, None if c == "-" else c, c == "r") for i, c in enumerate(text)]


def test_accuracy_reads_the_greedy_answer() -> None:
    accuracy = metric(Accuracy, "accuracy")
    assert accuracy.reads == "greedy"
    assert accuracy.value([sample(right=True)]) == Value(1.0)
    assert accuracy.value([sample()]) == Value(0.0)
    assert accuracy.value([sample(answer=None)]) == Value(0.0)


@pytest.mark.parametrize(("k", "expected"), [(1, 1 / 4), (4, 265 / 364), (16, 1.0)])
def test_pass_is_unbiased(k: int, expected: float) -> None:
    assert metric(Pass, f"pass@{k}").value(answers("rrrr" + "abcdefgh" + "----")) == Value(pytest.approx(expected))


def test_pass_counts_unreadable_answers_as_wrong_and_refuses_too_few() -> None:
    assert metric(Pass, "pass@2").value(answers("r---")) == Value(pytest.approx(0.5))
    with pytest.raises(ValueError, match="at least 4 samples"):
        metric(Pass, "pass@4").value(answers("rr"))


def test_entropy_is_the_token_mean() -> None:
    entropy = metric(Entropy, "entropy")
    problems = [
        [sample(tokens=10, entropy=5.0), sample(tokens=30, entropy=3.0)],
        [sample(tokens=2, entropy=4.0)],
    ]
    values = [entropy.value(samples) for samples in problems]
    assert values == [Value(8 / 40, 40), Value(2.0, 2)]
    mean = sum(value.weight * value.value for value in values) / sum(value.weight for value in values)
    assert mean == pytest.approx((5 + 3 + 4) / (10 + 30 + 2), abs=1e-12)


def test_entropy_of_a_uniform_policy_is_the_logarithm_of_its_choices() -> None:
    found = metric(Entropy, "entropy").value([sample(tokens=7, entropy=7 * math.log(64))] * 3)
    assert found.value == pytest.approx(math.log(64), abs=1e-12)


def test_entropy_that_is_not_known_is_missing() -> None:
    entropy = metric(Entropy, "entropy")
    assert entropy.value([sample(), sample(entropy=None)]) is None
    assert entropy.value([sample(tokens=0, entropy=0.0)]) is None
    assert entropy.value([]) is None


def test_diversity_reference_vector() -> None:
    text = "a" * 8 + "b" * 4 + "c" * 2 + "d" + "e"
    assert metric(Diversity, "diversity@4").value(answers(text)).value == pytest.approx(1201 / 455, abs=1e-12)
    assert metric(Diversity, "diversity@16").value(answers(text)).value == 5
    assert metric(Diversity, "diversity@4").value(answers(text[::-1])).value == pytest.approx(1201 / 455, abs=1e-12)


def test_unreadable_answers_are_one_answer() -> None:
    assert metric(Diversity, "diversity@4").value(answers("----")).value == 1
    assert metric(Diversity, "diversity@4").value(answers("a--b")).value == 3


def test_rates() -> None:
    samples = [sample(tokens=4), sample(tokens=8, finish="length", answer=None, well_formed=False)]
    expected = {Length: 6.0, Truncated: 0.5, ExtractionFailure: 0.5, Format: 0.5}
    for kind, number in expected.items():
        assert metric(kind, "x").value(samples) == Value(number)
        assert metric(kind, "x").value([]) is None


def test_every_metric_is_registered_under_a_class_that_exists() -> None:
    found: dict[str, type[Metric]] = {}

    def register(name: str, *, config: type, implementation: str, revision: str) -> None:
        module, _, attribute = implementation.partition(":")
        found[name] = getattr(importlib.import_module(module), attribute)
        assert config is MetricConfig and revision

    warmrl_metrics.warmrl_register_metrics(register)
    assert set(found) >= {"accuracy", "pass", "entropy", "diversity"}
    assert {name for name, kind in found.items() if kind.takes_k} == {"pass", "diversity"}
    assert all(issubclass(kind, Metric) for kind in found.values())


def test_pass_at_one_is_the_mean_over_samples() -> None:
    one = metric(Pass, "pass@1")
    values = [one.value(answers(text)).value for text in ("rab", "rrr", "---")]
    assert sum(values) / 3 == pytest.approx(4 / 9)
