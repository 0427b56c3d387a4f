"""What may be compared: the same problems of the same suite, sampled and graded alike; offenders are named."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from warmrl.domain.errors import UsageError

Evaluation = Mapping[str, Any]

MAY_DIFFER = ("seed", "versions")
"""Fields of a sampling block that change no distribution by intent: a difference in them is told, not refused."""
NAMED = 3
"""How many offending ids a message spells out."""


def check_comparable(evaluations: Sequence[Evaluation], force: bool = False) -> tuple[list[str], list[str]]:
    """Refuse what can't be compared; returns the rules that `force` relaxed and the differences that refuse nothing.

    Raises UsageError, with every offender named, for impossible evaluations (ids or sample indices that occur twice,
    pass@k of fewer than k samples, nothing in common), and unless forced for unlike ones (sampling blocks, suite
    revisions, graders, problem ids; more than one sample at temperature 0).
    """
    impossible = [one for evaluation in evaluations for one in offences(evaluation)]
    unlike: list[str] = [one for evaluation in evaluations for one in greedy_repeats(evaluation)]
    remarks: list[str] = []
    for suite, same in by_suite(evaluations).items():
        twice = repeated(evaluation["checkpoint"] for evaluation in same)
        impossible += [f"`{name}` is given twice on `{suite}`" for name in twice]
        if len(same) > 1 and not common_problems(same):
            impossible.append(f"the targets have no problem of `{suite}` in common")
        unlike += [*other_revisions(suite, same), *other_graders(suite, same), *other_problems(same)]
        for field, text in other_sampling(suite, same):
            (remarks if field.partition(".")[0] in MAY_DIFFER else unlike).append(text)
    if impossible:
        raise UsageError(f"These evaluations can't be compared: {'; '.join(impossible)}.")
    if unlike and not force:
        raise UsageError(
            f"These evaluations are not alike, so their difference would not be the targets': {'; '.join(unlike)}. "
            "Evaluate them with the same settings, or give --force: what they share is then compared, and the report "
            "opens with each rule that was relaxed."
        )
    return [sentence(one) for one in unlike], [sentence(one) for one in remarks]


def by_suite(evaluations: Iterable[Evaluation]) -> dict[str, list[Evaluation]]:
    """The evaluations of each suite, in the order given."""
    found: dict[str, list[Evaluation]] = {}
    for evaluation in evaluations:
        found.setdefault(evaluation["suite"], []).append(evaluation)
    return found


def common_problems(evaluations: Sequence[Evaluation]) -> list[str]:
    """The problems that all evaluations have, in the order of the first."""
    shared = set.intersection(*(set(evaluation["problems"]) for evaluation in evaluations))
    return [problem for problem in evaluations[0]["problems"] if problem in shared]


def offences(evaluation: Evaluation) -> Iterator[str]:
    """What makes an evaluation impossible, whatever it is compared with."""
    where, ids = place(evaluation), evaluation["problems"]
    if twice := repeated(ids):
        yield f"{where} holds problem ids twice: {some(twice)}"
    indices = evaluation.get("indices") or []
    if twice := [f"{one} #{index}" for one, own in zip(ids, indices, strict=False) for index in repeated(own)]:
        yield f"{where} holds samples twice (problem id #index): {some(twice)}"
    counts = evaluation.get("n") or []
    for name in evaluation["metrics"]:
        k = asked(name)
        if few := [one for one, n in zip(ids, counts, strict=False) if n < k]:
            yield f"`{name}` of {where} needs {k} samples a problem, and these have fewer: {some(few)}"


def greedy_repeats(evaluation: Evaluation) -> Iterator[str]:
    """More than one sample at temperature 0: they are the same sample, not draws from the policy."""
    settings = evaluation["settings"]
    most = max([settings.get("samples") or 1, *(evaluation.get("n") or [])])
    if settings.get("temperature") == 0 and most > 1:
        yield f"{place(evaluation)} holds {most} samples a problem at temperature 0, which are no independent draws"


def other_sampling(suite: str, evaluations: Sequence[Evaluation]) -> Iterator[tuple[str, str]]:
    """Each field in which the sampling blocks of a suite differ, with a phrase that names both values and targets."""
    blocks = {evaluation["checkpoint"]: flat(evaluation["settings"]) for evaluation in evaluations}
    for field in dict.fromkeys(field for block in blocks.values() for field in block):
        values = {name: block.get(field) for name, block in blocks.items()}
        if differ := groups(values):
            yield field, f"on `{suite}`, `{field}` is {differ}"


def other_settings(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    """The fields in which two sampling blocks differ, without those that may."""
    one, two = flat(first), flat(second)
    fields = sorted(field for field in {*one, *two} if field.partition(".")[0] not in MAY_DIFFER)
    return [field for field in fields if one.get(field) != two.get(field)]


def other_revisions(suite: str, evaluations: Sequence[Evaluation]) -> Iterator[str]:
    """Another revision of the suite."""
    if differ := groups({evaluation["checkpoint"]: evaluation.get("revision") for evaluation in evaluations}):
        yield f"`{suite}` is not the same revision: {differ}"


def other_graders(suite: str, evaluations: Sequence[Evaluation]) -> Iterator[str]:
    """Another first grader: then scores differ for the grader's sake."""
    graders = {e["checkpoint"]: e["graders"].get("first") for e in evaluations if e.get("graders")}
    if differ := groups(graders):
        yield f"`{suite}` is not graded alike: {differ}"


def other_problems(evaluations: Sequence[Evaluation]) -> Iterator[str]:
    """Targets that lack problems which others have."""
    every = list(dict.fromkeys(problem for evaluation in evaluations for problem in evaluation["problems"]))
    for evaluation in evaluations:
        own = set(evaluation["problems"])
        if lacks := [problem for problem in every if problem not in own]:
            yield f"{place(evaluation)} lacks {len(lacks)} of {len(every)} problems: {some(lacks)}"


def flat(settings: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """A sampling block with its tables spelled with dots: `versions.torch`."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        found.update(flat(value, f"{above}{key}.") if isinstance(value, Mapping) else {f"{above}{key}": value})
    return found


def asked(metric: str) -> int:
    """How many samples a problem a metric speaks of: the k of `pass@16` or `pass^4`."""
    found = re.search(r"[@^](\d+)$", metric)
    return int(found[1]) if found else 1


def groups(values: Mapping[str, Any]) -> str:
    """Which targets have which value, in words; empty when all have the same."""
    names: dict[str, list[str]] = {}
    for name, value in values.items():
        names.setdefault("not recorded" if value is None else json.dumps(value), []).append(f"`{name}`")
    parts = [f"{value} for {some(same, quote=False)}" for value, same in names.items()]
    return " and ".join(parts) if len(parts) > 1 else ""


def repeated(items: Iterable[Any]) -> list[Any]:
    """What occurs more than once, in order."""
    return [item for item, times in Counter(items).items() if times > 1]


def some(items: Sequence[str], *, quote: bool = True) -> str:
    """The first few, and how many more there are."""
    shown = [f"`{item}`" if quote else item for item in items[:NAMED]]
    return ", ".join(shown) + (f" and {len(items) - NAMED} more" if len(items) > NAMED else "")


def place(evaluation: Evaluation) -> str:
    """Which evaluation, in words."""
    return f"`{evaluation['checkpoint']}` on `{evaluation['suite']}`"


def sentence(phrase: str) -> str:
    """A phrase as a sentence."""
    return f"{phrase[0].upper()}{phrase[1:]}."
