"""Samples that other tools made: read, matched to a suite's problems, and refused where they say less than they seem.

The formats are in `foreign_formats.py` and docs/samples.md. No torch.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from warmrl.domain.errors import UsageError
from warmrl.domain.problem import Problem, Text
from warmrl.engine.foreign_formats import OWN, Given, recognise
from warmrl.engine.foreign_rows import rows_of
from warmrl.engine.storage import canonical

SHOWN = 5
AGREE = 0.5
"""Share of the rows with a question whose text must be like their problem's, and of words that make it like."""
FAILED = "Failed to obtain answer"
"""How VLMEvalKit's predictions begin where the model could not be asked."""
SHEET = 32767
"""Most characters of a workbook's cell; longer answers are cut off there."""


@dataclass(frozen=True)
class ForeignSample:
    """One completion of another tool for a problem of the suite.

    `finish` is `stop`, `length`, or `given` where the tool doesn't say. `logprobs` and `entropies` are per token,
    `surprisal` (minus the summed log-probability) and `entropy` sums over tokens, all in nats; None: not known.
    """

    problem: str
    index: int
    completion: str
    finish: str
    tokens: int | None
    logprobs: list[float] | None
    entropies: list[float] | None
    surprisal: float | None
    entropy: float | None
    sampling: Mapping[str, Any]


@dataclass(frozen=True)
class ForeignSamples:
    """What a file holds: its format, its samples in the suite's order, how they were drawn, and what to say of it.

    `kind` is what metrics read them as. `sampling` are the settings shared by all samples, seeds aside; it has no
    `temperature` where that is not known.
    """

    format: str
    kind: Literal["greedy", "sampled"]
    sampling: Mapping[str, Any]
    samples: tuple[ForeignSample, ...]
    findings: tuple[str, ...]


@dataclass(frozen=True)
class Suite:
    """What samples are held to: name, problems in order, revision, and each prompt's content hash if it is known."""

    name: str
    problems: Sequence[Problem]
    revision: str | None = None
    prompts: Mapping[str, str] = field(default_factory=dict)


def read(file: Path, suite: Suite, sampling: Mapping[str, Any] | None = None) -> ForeignSamples:
    """Read a file of samples; `sampling` are settings that the caller states, over those of the file.

    Raises `UsageError` (file, row, rule, fix) for rows that cannot be read, problems that the suite hasn't, the same
    sample twice, another suite or revision, mixed settings, and several samples at temperature 0.
    """
    rows = rows_of(file)
    first = next(rows, None)
    if first is None:
        raise UsageError(f"{file} holds no row; a file of samples has a row per answer.")
    form, reader = recognise(first)
    unknown: dict[str, None] = {}

    def given() -> Iterator[Given]:
        for row in chain([first], rows):
            if form == "warmrl":
                unknown.update(dict.fromkeys(row.values.keys() - set(OWN)))
            yield from reader(row)
            row.values.clear()  # what a reader took is held already, and log-probabilities are large

    found = list(given())
    findings = [f"{file.name} is read as samples of {form}."]
    if unknown:
        findings.append(f"Keys that are not of the schema are left out: {listed(sorted(unknown))}.")
    same_suite(found, suite)
    problems, how = matched(file, found, suite)
    findings += [how] if how else []
    agree(found, problems, suite)
    same_prompts(found, problems, suite)
    samples = indexed(file, found, problems, sampling or {})
    settings = same_settings(file, found, sampling or {})
    order = {problem.id: place for place, problem in enumerate(suite.problems)}
    samples.sort(key=lambda one: (order[one.problem], one.index))
    kind, words = kind_of(file, samples, settings)
    findings += words + coverage(samples, suite) + doubtful(file, form, found)
    return ForeignSamples(form, kind, settings, tuple(samples), tuple(findings))


def same_suite(found: Sequence[Given], suite: Suite) -> None:
    """Refuse rows that say they are of another suite, or of another revision of it."""
    for one in found:
        if one.suite is not None and one.suite != suite.name:
            raise UsageError(
                f"{one.row} is a sample of the suite `{one.suite}`, not of `{suite.name}`. Name that suite, or keep "
                "the samples of each suite in a file of their own."
            )
        if one.revision is not None and suite.revision is not None and one.revision != suite.revision:
            raise UsageError(
                f"{one.row} is a sample of revision `{one.revision:.40}` of the suite, and `{suite.name}` is here at "
                f"`{suite.revision:.40}`: its problems may be others. Give the suite at that revision, or sample again."
            )


def matched(file: Path, found: Sequence[Given], suite: Suite) -> tuple[list[str], str]:
    """Each row's problem, and what is worth saying of how it was found.

    Ids that a row has of its own come first; then, for tools that count documents from 0, positions; then ids; then
    positions. One rule holds for all rows of a file: a rule that fits some of them alone is no rule.
    """
    known = spellings(suite)
    for key in found[0].names:
        named = [known.get(one.names.get(key, "")) for one in found]
        if all(named):
            return [one for one in named if one], f"Problems are matched by `{key}`."
    placed, start = positions(found, suite)
    by_place = f"Problems are matched by position: the file numbers {len(suite.problems)} from {start}, as the suite."
    if placed and start == 0 and found[0].counts:
        return placed, by_place
    named = [None if one.name is None else known.get(one.name) for one in found]
    if all(named):
        exact = all(one.name == name for one, name in zip(found, named, strict=True))
        return [one for one in named if one], "" if exact else "Ids are matched but for the prefix of the suite's."
    if placed:
        return placed, by_place
    unnamed = [one for one, name in zip(found, named, strict=True) if name is None]
    missing = list(dict.fromkeys(str(one.number if one.name is None else one.name) for one in unnamed))
    numbered = (
        f" They are no positions either: those are {len(suite.problems)} numbers from 0, one for each problem."
        if all(one.number is not None for one in found)
        else ""
    )
    raise UsageError(
        f"{file}: {len(missing)} ids are not among the {len(suite.problems)} of the suite `{suite.name}`: "
        f"{listed(missing)} (row {unnamed[0].row.number} is the first); the suite's are like "
        f"{listed([problem.id for problem in suite.problems[:3]])}.{numbered} Give the suite (and split, and limit) "
        "that was sampled, or write the suite's ids."
    )


def positions(found: Sequence[Given], suite: Suite) -> tuple[list[str], int]:
    """Each row's problem by its number, and where the numbers start; nothing unless they number the whole suite."""
    numbers = [one.number for one in found if one.number is not None]
    start = min(numbers, default=0)
    whole = set(numbers) == set(range(start, start + len(suite.problems)))
    if len(numbers) < len(found) or start > 1 or not whole:
        return [], 0
    return [suite.problems[number - start].id for number in numbers], start


def spellings(suite: Suite) -> dict[str, str]:
    """What a problem's id may be written as: itself, without a prefix that all share (`mathvista:12`), or with one."""
    ids = [problem.id for problem in suite.problems]
    prefixes = {one.rpartition(":")[0] for one in ids}
    out = {f"{suite.name}:{one}": one for one in ids}
    out |= {one.rpartition(":")[2]: one for one in ids} if len(prefixes) == 1 else {}
    return out | {one: one for one in ids}


def agree(found: Sequence[Given], problems: Sequence[str], suite: Suite) -> None:
    """Refuse a file most of whose questions are other than those of the problems that its rows were matched to.

    Two questions are alike when half of the shorter one's words are in the other: prompts add words and templates.
    """
    asked = {problem.id: words(said(problem)) for problem in suite.problems}
    other = []
    rows = [(one, name) for one, name in zip(found, problems, strict=True) if one.question and asked[name]]
    for one, name in rows:
        here = words(one.question or "")
        if here and len(here & asked[name]) < AGREE * min(len(here), len(asked[name])):
            other.append((one, name))
    if len(other) > AGREE * len(rows):
        one, name = other[0]
        problem = next(problem for problem in suite.problems if problem.id == name)
        raise UsageError(
            f"{one.row} asks {one.question!r:.100}, and the problem `{name}` it was matched to asks "
            f"{said(problem)!r:.100}; so do {len(other)} of {len(rows)} rows. The numbers of this file are not those "
            "of the suite: give the suite, split and order that was sampled, or write the suite's ids."
        )


def words(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(re.findall(r"\w+", text.casefold()))


def said(problem: Problem) -> str:
    """The text of a problem's user turns."""
    parts = (part for message in problem.messages if message.role == "user" for part in message.parts)
    return " ".join(part.text for part in parts if isinstance(part, Text))


def same_prompts(found: Sequence[Given], problems: Sequence[str], suite: Suite) -> None:
    """Refuse a row whose prompt has another content than the suite's."""
    for one, name in zip(found, problems, strict=True):
        if one.prompt is not None and suite.prompts.get(name, one.prompt) != one.prompt:
            raise UsageError(
                f"{one.row} answers the problem `{name}` under another prompt (content `{one.prompt:.16}`, the "
                f"suite's is `{suite.prompts[name]:.16}`): text or pictures were others. Sample it again."
            )


def indexed(
    file: Path, found: Sequence[Given], problems: Sequence[str], stated: Mapping[str, Any]
) -> list[ForeignSample]:
    """The samples; one without an index is the problem's next. Refuses the same (problem, index) twice."""
    seen: dict[tuple[str, int], Given] = {}
    counts: Counter[str] = Counter()
    twice: dict[str, str] = {}
    out = []
    for one, name in zip(found, problems, strict=True):
        index = counts[name] if one.index is None else one.index
        counts[name] += 1
        before = seen.setdefault((name, index), one)
        if before is not one:
            twice.setdefault(f"{name} (sample {index})", f"rows {before.row.number} and {one.row.number}")
            continue
        lengths = {len(given) for given in (one.logprobs, one.entropies) if given is not None}
        lengths |= set() if one.tokens is None else {one.tokens}
        if len(lengths) > 1:
            raise UsageError(
                f"{one.row}: {' and '.join(map(str, sorted(lengths)))} tokens: `tokens`, `logprobs` and `entropies` "
                "are of the same tokens, those of the completion. Mend the row."
            )
        out.append(
            ForeignSample(
                name, index, one.completion, one.finish, next(iter(lengths), None), one.logprobs, one.entropies,
                total(one.surprisal, one.logprobs, -1), total(one.entropy, one.entropies, 1),
                {**one.sampling, **stated},
            )
        )  # fmt: skip
    if twice:
        first = "; ".join(f"{name} in {where}" for name, where in list(twice.items())[:SHOWN])
        raise UsageError(
            f"{file}: {len(twice)} samples stand in it twice: {first}. A sample is named by its problem and its "
            "index, from 0 on for each problem; number them apart (`index`), or drop the copies."
        )
    return out


def total(value: float | None, each: Sequence[float] | None, sign: int) -> float | None:
    """A sum over tokens: what the row says, else the sum of what it has of each token."""
    return value if value is not None or each is None else sign * sum(each) + 0.0


def same_settings(file: Path, found: Sequence[Given], stated: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that all rows share; each sample has a seed of its own. Refuses a file that mixes them."""
    first: Given = found[0]
    settings = {key: value for key, value in first.sampling.items() if key != "seed"}
    for one in found:
        if {key: value for key, value in one.sampling.items() if key != "seed"} != settings:
            keys = sorted(
                key
                for key in {*one.sampling, *settings} - {"seed"}
                if one.sampling.get(key, "unset") != settings.get(key, "unset")
            )
            differing = ", ".join(
                f"`{key}` {settings.get(key, 'unset')} and {one.sampling.get(key, 'unset')}" for key in keys
            )
            raise UsageError(
                f"{file} mixes sampling settings: rows {first.row.number} and {one.row.number} have {differing}. "
                "Scores of samples drawn differently are no one number; write a file for each."
            )
    out = {key: value for key, value in {**settings, **stated}.items() if value is not None}
    try:
        canonical(out).encode()
    except (TypeError, ValueError) as error:
        raise UsageError(f"{file}: `sampling` is nothing that JSON can hold ({error}); mend it.") from None
    warm = out.get("temperature")
    if warm is not None and (isinstance(warm, bool) or not isinstance(warm, int | float) or not 0 <= warm < 1e6):
        raise UsageError(f"{file}: `temperature` is {warm!r:.40}; it is a number from 0 on (0: greedy).")
    return out


def kind_of(
    file: Path, samples: Sequence[ForeignSample], settings: Mapping[str, Any]
) -> tuple[Literal["greedy", "sampled"], list[str]]:
    """What metrics read the samples as, and what was assumed. Refuses several samples at temperature 0."""
    several = [name for name, n in Counter(one.problem for one in samples).items() if n > 1]
    warm = settings.get("temperature")
    if warm == 0 and several:
        raise UsageError(
            f"{file}: temperature 0 with several samples of {len(several)} problems ({listed(several)}): greedy "
            "answers are copies of one another and no independent draws. Keep one of each, or state the temperature "
            "that they were drawn at (`--sampling temperature=1.0`)."
        )
    if warm is not None:
        return ("sampled" if warm else "greedy"), []
    state = "State it with `--sampling temperature=1.0`."
    if several:
        return "sampled", [
            f"The file does not say the temperature; with several samples per problem they are taken as drawn. {state}"
        ]
    return "greedy", [
        "The file does not say the temperature; with one sample per problem they are taken as greedy (temperature "
        f"0). If they were drawn, s{state[1:]}"
    ]


def coverage(samples: Sequence[ForeignSample], suite: Suite) -> list[str]:
    """Which problems have no sample, and whether some have more than others."""
    counts = Counter(one.problem for one in samples)
    out = []
    missing = [problem.id for problem in suite.problems if problem.id not in counts]
    if missing:
        out.append(f"{len(missing)} of {len(suite.problems)} problems have no sample: {listed(missing)}.")
    low, high = min(counts.values()), max(counts.values())
    if low != high:
        out.append(f"Problems have between {low} and {high} samples.")
    return out


def doubtful(file: Path, form: str, found: Sequence[Given]) -> list[str]:
    """What in the completions themselves casts doubt on the scores."""
    out = []
    empty = sum(not one.completion.strip() for one in found)
    if empty:
        out.append(f"{empty} completions are empty.")
    if form == "VLMEvalKit":
        failed = sum(one.completion.startswith(FAILED) for one in found)
        if failed:
            out.append(
                f"{failed} predictions are VLMEvalKit's own note of a failure, not answers; they count as wrong."
            )
        cut = sum(len(one.completion) >= SHEET for one in found)
        if cut and file.suffix == ".xlsx":
            out.append(f"{cut} predictions are as long as a workbook's cell can be ({SHEET} characters): cut off.")
    return out


def listed(names: Any, most: int = SHOWN) -> str:
    """The first few of several names, and how many there are."""
    names = list(names)
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(f"`{name}`" for name in names[:most]) + rest
