"""The samples of an evaluation as they are kept, and metrics as pure functions of them. No torch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from warmrl.domain.names import MetricName
from warmrl.domain.sample import Sample
from warmrl.plugin.registry import Registry

SAMPLES = "samples.jsonl"


def read_samples(folder: Path) -> dict[str, dict[str, list[Sample]]]:
    """Samples by kind (`greedy`, `sampled`) and problem id, in the suite's order."""
    names = {field.name for field in fields(Sample)}
    out: dict[str, dict[str, list[Sample]]] = {"greedy": {}, "sampled": {}}
    for line in (folder / SAMPLES).read_bytes().splitlines():
        row = json.loads(line)
        sample = Sample(**{name: row[name] for name in names})
        out[row["kind"]].setdefault(sample.problem, []).append(sample)
    return out


def measure(samples: dict[str, dict[str, list[Sample]]], metrics: Sequence[str], registry: Registry) -> dict[str, Any]:
    """Each metric's value and weight per problem, with what the report needs to know of it."""
    out: dict[str, Any] = {}
    for text in metrics:
        name = MetricName.parse(text)
        registration = registry.get("metric", name.name)
        metric = registration.load()(registration.config(), name)
        found = [metric.value(own) for own in samples[metric.reads].values()]
        out[text] = {
            "values": [None if one is None else one.value for one in found],
            "weights": [0.0 if one is None else one.weight for one in found],
            "unit": metric.unit,
            "higher_is_better": metric.higher_is_better,
        }
    return out
