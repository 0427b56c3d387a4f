"""Rewards and graders tried on real rows before anything is spent: gold must score full, wrong answers must not."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from warmrl.domain.config import Choice
from warmrl.domain.problem import Problem
from warmrl.domain.reward import Reward
from warmrl.engine.entries import Entries
from warmrl.engine.grading import open_reward

TRIED = 8
"""Problems of each table, and of each kind of problem in it, on which a reward is tried."""


@dataclass(frozen=True)
class Trial:
    """One reward or grader under one answer style, and the table whose rows it is tried on."""

    name: str
    choice: Choice
    style: Choice
    table: str


def trials(entries: Entries) -> Iterator[Trial]:
    """Every reward on every training table, and every suite's grader and second opinion on the suite.

    A reward of weight 0 is logged and trains nothing, so it is not tried.
    """
    recipe = entries.file.recipe
    rewards = {name: one for name, one in recipe.reward.items() if getattr(one.config, "weight", 1.0)}
    for table in recipe.data:
        for name, choice in rewards.items():
            yield Trial(f"The reward `{name}`", choice, recipe.answer, f"data.{table}")
    for suite, dataset in recipe.suite.items():
        style = getattr(dataset.config, "style", None) or recipe.answer
        for word in ("grader", "second_opinion"):
            own = getattr(dataset.config, word, None) or getattr(recipe, word)
            if own is not None:
                yield Trial(f"The {word.replace('_', ' ')} `{own.use}`", own, style, f"suite.{suite}")


def try_rewards(entries: Entries) -> list[str]:
    """What is wrong, a sentence for each reward or grader and kind of failure; one sentence when nothing is."""
    asked = list(trials(entries))
    problems = {one.table: first_of_each(entries.dataset(one.table).problems()) for one in asked}
    rewards: dict[str, Reward[Any]] = {}  # One for all trials with the same settings: it may start processes.
    findings: list[str] = []
    used: set[str] = set()
    try:
        for one in asked:
            same = f"{one.choice.model_dump_json()} {one.style.model_dump_json()}"
            if same not in rewards:
                rewards[same] = opened(one, entries)
            findings += tried(one, rewards[same], problems[one.table])
            used |= {one.choice.use} if any(not rewards[same].asks_teacher(p) for p in problems[one.table]) else set()
    finally:
        for reward in rewards.values():
            reward.close()
    if used and not any(finding.startswith("WARNING") for finding in findings):
        names = ", ".join(f"`{one}`" for one in sorted(used))
        rows = sum(map(len, problems.values()))
        findings.append(f"{names}: tried on {rows} problems; gold is right, empty and corrupted answers are not.")
    return findings


def opened(trial: Trial, entries: Entries) -> Reward[Any]:
    """The reward under its answer style."""
    registry = entries.file.registry
    return open_reward(trial.choice, registry.instance(trial.style), registry, entries.store)


def tried(trial: Trial, reward: Reward[Any], problems: Sequence[Problem]) -> list[str]:
    """What is wrong with one reward or grader: each kind of failure with its first row."""
    failures: dict[str, list[str]] = {}
    dear = 0
    for at, problem in enumerate(problems):
        if why := reward.refuses(problem):
            failures.setdefault("refused", []).append(f"it cannot score `{problem.id}`: {why}")
        elif reward.asks_teacher(problem):
            dear += 1
        else:
            for kind, what in judged(reward, problem, problems[at - 1].gold, grader=trial.table.startswith("suite")):
                failures.setdefault(kind, []).append(what)
    found = [
        f"WARNING: {trial.name} on `{trial.table}`: {whats[0]} ({len(whats)} of {len(problems)} problems tried)."
        for whats in failures.values()
    ]
    if dear:
        asks, on = f"{trial.name} of `{trial.table}` asks a teacher", f"{dear} of {len(problems)} problems"
        whole = dear == len(problems)
        found.append(f"{asks}; it was not tried." if whole else f"{asks} for {on}; it was not tried on them.")
    return found


def first_of_each(problems: Sequence[Problem]) -> list[Problem]:
    """The first problems of each kind, in their order."""
    counts = Counter[str]()
    found = []
    for problem in problems:
        counts[problem.kind] += 1
        if counts[problem.kind] <= TRIED:
            found.append(problem)
    return found


def judged(reward: Reward[Any], problem: Problem, other: str, *, grader: bool) -> list[tuple[str, str]]:
    """What is wrong with the scores of one problem: the kind of failure, and the row in words.

    Of a grader the verdict counts: a part of its score may be for a form that another answer style has not.
    """
    wrong = corrupted(problem.gold)
    if reward.canonical(other) != reward.canonical(problem.gold) and "choices" not in problem.extra:
        wrong.append(other)
    wrong = wrong if reward.reads_gold else []
    wrap = reward.style.wrap
    texts = [wrap("so", problem.gold), "", *(wrap("so", one) for one in wrong)]
    grades = reward.grade(problem, texts)
    right, empty, *rest = (one.score for one in grades)
    found = []
    if right != reward.high and not (grader and grades[0].verdict == "right"):
        found.append(
            ("gold", f"the gold answer {problem.gold!r} of `{problem.id}` scores {right:g} of {reward.high:g}")
        )
    if empty == reward.high:
        found.append(("empty", f"an empty answer to `{problem.id}` scores full"))
    for answer, score in zip(wrong, rest, strict=True):
        if score == reward.high:
            found.append(
                ("wrong", f"the wrong answer {answer!r} to `{problem.id}` (gold {problem.gold!r}) scores full")
            )
            break
    return found


def corrupted(gold: str) -> list[str]:
    """Wrong answers: another first digit, and words that follow the gold answer; of `A)` another option."""
    if re.fullmatch(r"\(?[A-H][).:]", gold):
        return [re.sub("[A-H]", lambda found: "B" if found[0] == "A" else "A", gold)]
    changed = re.sub("[0-9]", lambda found: str((int(found[0]) + 1) % 10), gold, count=1)
    longer = [] if gold[-1:] in (")", "]", "}") else [f"{gold}9 or not"]
    return [*([changed] if changed != gold else []), *longer] or [f"{gold} or not"]
