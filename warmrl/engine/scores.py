"""From kept answers and their grades to metrics, problem by problem, and to what a report needs. No torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from warmrl.domain.config import Choice
from warmrl.domain.errors import UsageError
from warmrl.domain.metric import Metric
from warmrl.domain.names import MetricName
from warmrl.domain.sample import Sample
from warmrl.engine.grading import grades_key
from warmrl.engine.samples import Draws, Kind, answers
from warmrl.engine.suites import Suite
from warmrl.plugin.registry import Registry

SUMS = ("entropy_sampling", "nucleus")
GRADED = ("extracted", "canonical", "verdict", "score")
KNOWN = ("well_formed", "finish", "tokens", "entropy", "surprisal")

Samples = dict[Kind, dict[str, list[Sample]]]


@dataclass(frozen=True)
class Opinions:
    """How often two graders of a suite differ."""

    first: str
    second: str | None
    compared: int
    differing: int
    second_score: float | None

    def table(self) -> dict[str, Any]:
        """As a report has it."""
        share = self.differing / self.compared if self.compared else None
        return {**vars(self), "disagreement": share}


def read_samples(draws: Sequence[Draws], suite: Suite, registry: Registry) -> Samples:
    """The wanted answers under the suite's first grader, by kind and problem: problems by id, answers by index."""
    out: Samples = {"greedy": {}, "sampled": {}}
    for one in draws:
        found: dict[str, list[Sample]] = {}
        for sample in graded(one, suite, registry):
            found.setdefault(sample.problem, []).append(sample)
        out[one.kind] = {name: sorted(found[name], key=lambda sample: sample.index) for name in sorted(found)}
    return out


def graded(draws: Draws, suite: Suite, registry: Registry) -> Iterator[Sample]:
    """Answers with the first grader's grades."""
    grades: dict[str, list[dict[str, Any]]] = {}
    sums: dict[str, dict[str, list[float | None]]] = {}
    for block, place, row in answers(draws, suite):
        if block.hash not in grades:
            grades[block.hash] = block.graded(grades_key(suite.graders[0], suite, registry))
            sums[block.hash] = {name: block.sums(name) for name in SUMS if name in draws.extras}
        own: dict[str, Any] = {name: values[place] for name, values in sums[block.hash].items()}
        kept = {name: row[name] for name in ("problem", "index", "finish", "tokens", "entropy", "surprisal")}
        yield Sample(text=row["completion"], **kept, **plain(grades[block.hash][place]), **own)


def plain(grade: dict[str, Any]) -> dict[str, Any]:
    """A grade as a sample has it."""
    return {name: value for name, value in grade.items() if name != "right_answer"}


def opinions(draws: Sequence[Draws], suite: Suite, registry: Registry) -> Opinions:
    """The second opinion beside the first, over all answers."""
    first, second = suite.graders[0], suite.graders[1] if len(suite.graders) > 1 else None
    if second is None:
        return Opinions(label(first), None, 0, 0, None)
    compared = differing = 0
    weight, sums, partial = 0.0, [0.0, 0.0], False  # by verdict, and by score where the first gives partial credit
    for one in draws:
        pairs: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]]]] = {}
        for block, place, row in answers(one, suite):
            if block.hash not in pairs:
                keys = [grades_key(choice, suite, registry) for choice in (first, second)]
                pairs[block.hash] = (block.graded(keys[0]), block.graded(keys[1]))
            left, right = (rows[place] for rows in pairs[block.hash])
            compared += 1
            differing += (left["verdict"] == "right") != (right["verdict"] == "right")
            weight += suite.problems[row["problem"]].weight
            partial |= left["score"] not in (0.0, 1.0)
            sums[0] += (right["verdict"] == "right") * suite.problems[row["problem"]].weight
            sums[1] += right["score"] * suite.problems[row["problem"]].weight
    return Opinions(label(first), label(second), compared, differing, sums[partial] / weight if weight else None)


def label(choice: Any) -> str:
    """A grader with the settings that are not the defaults: `mathvista (strict = True)`."""
    fields = type(choice.config).model_fields
    changed = {name: getattr(choice.config, name) for name in fields}
    given = ", ".join(f"{name} = {spelled(value)}" for name, value in changed.items() if value != fields[name].default)
    return f"{choice.use} ({given})" if given else choice.use


def spelled(value: Any) -> str:
    """A setting in a label: of a plugin that it chooses the label, of a table each of its own."""
    if isinstance(value, Mapping):
        return "; ".join(f"{name}: {spelled(one)}" for name, one in value.items())
    return label(value) if isinstance(value, Choice) else str(value)


def metric_of(text: str, registry: Registry) -> Metric[Any]:
    """A metric by its one spelling. Raises ValueError and `PluginError`, a sentence each."""
    name = MetricName.parse(text)
    registration = registry.get("metric", name.name)
    return registration.load()(registration.config(), name)


def measure(
    samples: Samples, metrics: Sequence[str], suite: Suite, names: Sequence[str], registry: Registry
) -> dict[str, Any]:
    """Each metric's value, weight and cluster for these problems of the suite.

    Raises `UsageError` where a problem has too few samples for it.
    """
    out: dict[str, Any] = {}
    for text in metrics:
        metric = metric_of(text, registry)
        own = samples[metric.reads]
        values = []
        for name in names:
            if metric.takes_k and 0 < len(own.get(name, ())) < metric.k:
                raise UsageError(
                    f"`{text}` on `{suite.name}`: it is undefined for fewer than {metric.k} samples (Chen 2021), and "
                    f"`{name}` has {len(own[name])}; draw more, or lower k."
                )
            values.append(metric.value(own[name]) if own.get(name) else None)
        weights = [suite.problems[name].weight for name in names]
        out[text] = {
            "values": [None if one is None else one.value for one in values],
            "weights": [0.0 if one is None else one.weight * w for one, w in zip(values, weights, strict=True)],
            "unit": metric.unit,
            "higher_is_better": metric.higher_is_better,
        }
        if any(one is not None and one.cluster is not None for one in values):
            out[text]["clusters"] = [one and one.cluster for one in values]
    return out


def record(
    draws: Sequence[Draws], suite: Suite, metrics: Sequence[str], registry: Registry
) -> tuple[dict[str, Any], Samples]:
    """What a report is told of one evaluation (`report.build`), apart from whose it is; and the samples themselves."""
    samples = read_samples(draws, suite, registry)
    # A file of another tool may have no answer to some problems: those are none of its evaluation's.
    names = sorted(name for name in suite.problems if any(name in own for own in samples.values()))
    drawn = samples["sampled"]
    everything = [one for kind in samples.values() for own in kind.values() for one in own]
    clusters = [suite.problems[name].cluster for name in names]
    found: dict[str, Any] = {
        "suite": suite.name,
        "problems": names,
        "clusters": [one or name for one, name in zip(clusters, names, strict=True)] if any(clusters) else None,
        "metrics": measure(samples, metrics, suite, names, registry),
        "revision": suite.revision,
        "graders": opinions(draws, suite, registry).table(),
        "counts": {
            "samples": len(everything),
            "truncated": sum(one.finish == "length" for one in everything),
            "no_answer": sum(one.verdict == "no answer" for one in everything),
            "timed_out": sum(one.verdict == "timed out" for one in everything),
        },
        "notes": [f"Split `{suite.dataset.config.split}` of `{suite.choice.use}`.", *suite.dataset.notes()],
    }
    weights = [suite.problems[name].weight for name in names]
    if set(weights) != {1.0}:
        found["weights"] = weights
    if drawn and all(name in drawn for name in names):
        found["right"] = [sum(one.right for one in drawn[name]) for name in names]
        found["n"] = [len(drawn[name]) for name in names]
    return found, samples


def rows(samples: Samples, suite: Suite, blocks: Mapping[Kind, str]) -> Iterator[dict[str, Any]]:
    """The answers as `samples.jsonl` has them: a row by suite, problem, sampling block and index."""
    for kind, problems in samples.items():
        for own in problems.values():
            for one in own:
                yield {
                    "suite": suite.name,
                    "problem": one.problem,
                    "sampling": blocks[kind],
                    "kind": kind,
                    "index": one.index,
                    "completion": one.text,
                    **{name: getattr(one, name) for name in GRADED},
                    "parts": dict(one.parts),
                    **{name: getattr(one, name) for name in KNOWN},
                }
