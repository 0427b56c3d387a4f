"""`geo3k_easyr1` gives the verdicts of mathruler, and the form and extraction of EasyR1, on answers from a seed."""

import random
import re

import pytest
from answer_pairs import pairs
from warmrl_rewards.easyr1 import boxed, formed, unspaced
from warmrl_rewards.prm800k import same

oracle = pytest.importorskip("mathruler.grader")
AGREED = 0.999


def disagreements(count: int, seed: int) -> list[tuple[str, str]]:
    return [
        (gold, answer) for gold, answer in pairs(count, seed) if oracle.grade_answer(answer, gold) != same(gold, answer)
    ]


def test_the_pairs_are_right_and_wrong():
    verdicts = [same(gold, answer) for gold, answer in pairs(150, 3)]
    assert 0.25 < sum(verdicts) / len(verdicts) < 0.75


def test_verdicts():
    assert disagreements(300, 1) == []


@pytest.mark.slow
def test_verdicts_of_five_thousand():
    assert len(disagreements(5000, 2)) <= (1 - AGREED) * 5000


@pytest.mark.parametrize(
    ("gold", "answer", "right"),
    [
        ("15/2", "30/4", False),
        ("7.5", "7 1/2", True),
        ("12.5", "12.5 units", False),
        ("120", "m\\angle A=120^\\circ", False),
        ("120", "1.2e2", True),
        ("9\\pi", "9π", False),
        ("1000", "1 000", True),
        ("5", "5.0", True),
        ("\\sqrt{2}", "1.41421356", False),
        ("6\\sqrt{2}", "\\sqrt{72}", True),
        ("3", "–3", False),  # noqa: RUF001
        ("50", "50 \\%", True),
        ("x^2+2x", "x(x+2)", True),
        ("4", "2^2", False),
        ("sqrt('1')", "1", False),
    ],
)
def test_its_oddities(gold, answer, right):
    assert same(gold, answer) is right
    assert oracle.grade_answer(answer, gold) is right


def test_form_and_extraction():
    chance = random.Random(4)
    pieces = ["<think>", "</think>", "\\boxed{", "}", "{", " ", "\n", "<", ">", "/", "a", "\\", "\u3000", "5"]
    for _ in range(5000):
        text = "".join(chance.choice(pieces) for _ in range(chance.randint(0, 14)))
        expected = re.sub(r"\s*(<|>|/)\s*", r"\1", text)
        assert unspaced(text) == expected
        assert formed(expected) == bool(re.fullmatch(r"<think>.*</think>.*\\boxed\{.*\}.*", expected, re.DOTALL))
        found = boxed(expected)
        assert ("None" if found is None else found) == oracle.extract_boxed_content(expected)
