"""From scores of tasks to MEGA-Bench's three numbers: core, open and overall."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from warmrl.api import DataError

UNSCORED = -1
"""The score that official result files give a task without a score."""
ROUNDING = 1e-9
"""How far a weighted mean of ones may lie above one."""


@dataclass(frozen=True)
class TaskScore:
    """One task: the mean score of its queries in [0, 1], what scored it (`rule` or `llm`), and how many queries."""

    name: str
    score: float
    eval_type: str
    samples: int


@dataclass(frozen=True)
class Aggregate:
    """Means over tasks, each task counting once. A mean over no tasks is None, and so is `overall` without both."""

    core: float | None
    core_tasks: int
    core_samples: int
    open: float | None
    open_tasks: int
    open_samples: int
    overall: float | None


def aggregate(tasks: Iterable[TaskScore | Mapping[str, Any] | Sequence[Any]]) -> Aggregate:
    """The published numbers of a model, from its tasks.

    `core` is the mean over tasks scored by rules, `open` over those scored by a language model, `overall` the two
    weighted by their numbers of tasks (megabench/tools/derive_breakdown_results.py). A task is a `TaskScore`, a row of
    an official `task_results.json` (`name`, `score`, `eval_type`, `num_query`), or (name, score, type, queries). A task
    scored -1 has no score and is left out, as officially.

    Raises `DataError` for a task that comes twice, a score outside [0, 1], another type, or no queries.
    """
    found = [read(task) for task in tasks]
    names = set[str]()
    for task in found:
        if task.name in names:
            raise DataError(
                f"MEGA-Bench's task `{task.name}` comes twice; a task has one score. Leave one of them out."
            )
        names.add(task.name)
    scored = [task for task in found if task.score != UNSCORED]
    core = [task for task in scored if task.eval_type == "rule"]
    open_ended = [task for task in scored if task.eval_type == "llm"]
    of_core, of_open = mean(core), mean(open_ended)
    overall = None
    if of_core is not None and of_open is not None:
        overall = (of_core * len(core) + of_open * len(open_ended)) / len(scored)
    return Aggregate(
        core=of_core,
        core_tasks=len(core),
        core_samples=sum(task.samples for task in core),
        open=of_open,
        open_tasks=len(open_ended),
        open_samples=sum(task.samples for task in open_ended),
        overall=overall,
    )


def mean(tasks: Sequence[TaskScore]) -> float | None:
    """The mean score; None of no tasks."""
    return math.fsum(task.score for task in tasks) / len(tasks) if tasks else None


def read(task: TaskScore | Mapping[str, Any] | Sequence[Any]) -> TaskScore:
    """A task in any of its three forms. Raises `DataError`."""
    values: Sequence[Any] = ()
    if isinstance(task, TaskScore):
        values = (task.name, task.score, task.eval_type, task.samples)
    elif isinstance(task, Mapping):
        values = [task.get(key) for key in ("name", "score", "eval_type", "num_query")]
    elif isinstance(task, Sequence) and not isinstance(task, str):
        values = task
    if len(values) != len(RULES) or not all(rule(value) for rule, value in zip(RULES, values, strict=True)):
        raise DataError(
            f"{task!r:.200} is no task of MEGA-Bench: it has a name, a score in [0, 1] (or -1: not scored), the type "
            f"`rule` or `llm`, and the number of its queries, at least 1. Mend it."
        )
    name, score, eval_type, samples = values
    return TaskScore(name, float(score), eval_type, samples)


def is_score(value: Any) -> bool:
    """A number from 0 to 1, or the mark of a task without a score."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and (0 <= value <= 1 + ROUNDING or value == UNSCORED)


def is_count(value: Any) -> bool:
    """A whole number from 1 on."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


RULES: tuple[Callable[[Any], bool], ...] = (
    lambda name: isinstance(name, str) and name != "",
    is_score,
    lambda eval_type: eval_type in ("rule", "llm"),
    is_count,
)
"""What each part of a task must be."""
