"""Worked answers to figures: GOLD (one template), CLEAN (nearly always right) and MIXED (what a raw base writes)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from warmrl_pocket.kinds import Figure, Labels, answer_of

# How a trace says what it read, given the labels, and then its equations.
READ, PLAIN = "read {labels} . {working}", "{working}"
SO, IT_IS = "read {labels} so {working}", "it is {labels} . {working}"
CLEAN_TEMPLATES, CLEAN_SHARES = (READ, PLAIN, SO), (0.4, 0.3, 0.3)
MIXED_TEMPLATES, MIXED_SHARES = (READ, PLAIN, SO, IT_IS), (0.25, 0.25, 0.25, 0.25)

CLEAN_WRONG_FORMULA, CLEAN_WRONG_ARITHMETIC = 0.02, 0.01
MIXED_MISREAD, MIXED_WRONG_FORMULA, MIXED_WRONG_ARITHMETIC = 0.08, 0.30, 0.08
MIXED_UNTAGGED = 0.40

Writer = Callable[[Figure, np.random.Generator], str]


def gold(figure: Figure) -> str:
    """The one right trace: `<think> read 7 and 5 . 7 * 5 = 35 </think> <answer> 35 </answer>`."""
    return tagged(_fill(READ, figure.labels, figure.working), figure.gold)


def clean(figure: Figure, rng: np.random.Generator) -> str:
    """A trace in one of three templates: wrong formula 2 %, wrong arithmetic 1 %."""
    working = figure.working
    if rng.random() < CLEAN_WRONG_FORMULA:
        working = _wrong_formula(figure.labels, working, rng)
    if rng.random() < CLEAN_WRONG_ARITHMETIC:
        working = _wrong_arithmetic(working, rng)
    template = str(rng.choice(CLEAN_TEMPLATES, p=CLEAN_SHARES))
    return tagged(_fill(template, figure.labels, working), answer_of(working))


def mixed(figure: Figure, rng: np.random.Generator, direct: float = 0.5) -> str:
    """A trace as a raw base writes it: four styles, untagged, misread, wrong, or at a share of `direct` unreasoned."""
    labels = figure.labels
    if rng.random() < MIXED_MISREAD:
        labels = _misread(labels, rng)
    working = figure.kind.working(labels)
    if rng.random() < MIXED_WRONG_FORMULA:
        working = _wrong_formula(labels, working, rng)
    if rng.random() < MIXED_WRONG_ARITHMETIC:
        working = _wrong_arithmetic(working, rng)
    answer, untagged = answer_of(working), rng.random() < MIXED_UNTAGGED
    if rng.random() < direct:
        return answer if untagged else f"<answer> {answer} </answer>"
    text = _fill(str(rng.choice(MIXED_TEMPLATES, p=MIXED_SHARES)), labels, working)
    return text if untagged else tagged(text, answer)


def tagged(reasoning: str, answer: str) -> str:
    """A whole trace."""
    return f"<think> {reasoning} </think> <answer> {answer} </answer>"


def _fill(template: str, labels: Labels, working: list[str]) -> str:
    return template.format(labels=" and ".join(map(str, labels)), working=" . ".join(working))


def _misread(labels: Labels, rng: np.random.Generator) -> Labels:
    """One label off by one or two."""
    changed = list(labels)
    changed[rng.integers(len(changed))] += int(rng.choice((-2, -1, 1, 2)))
    return tuple(max(1, label) for label in changed)


def _wrong_formula(labels: Labels, right: list[str], rng: np.random.Generator) -> list[str]:
    """A formula that takes as many labels but isn't the one asked for."""
    a, b = labels[0], labels[-1]
    choices = [[f"180 - {a} = {180 - a}"], [f"2 * {a} = {2 * a}"]]
    if len(labels) > 1:
        choices = [[f"{a} + {b} = {a + b}"], [f"180 - {a} = {180 - a}"], [f"2 * {b} = {2 * b}"]]
        if a < 13 and b < 13:
            choices.append([f"{a} * {b} = {a * b}"])
    wrong = [working for working in choices if answer_of(working) != answer_of(right)]
    return wrong[rng.integers(len(wrong))]


def _wrong_arithmetic(working: list[str], rng: np.random.Generator) -> list[str]:
    """The last result off by a little, or by ten."""
    left, result = working[-1].rsplit("= ", 1)
    slip = int(rng.choice((-10, -2, -1, 1, 2, 10)))
    return [*working[:-1], f"{left}= {abs(int(result) + slip)}"]
