"""The rewards `math` and `format`."""

import json
import os
import subprocess
import sys
import threading
import time
from fractions import Fraction
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from warmrl_rewards.answer import normalise
from warmrl_rewards.config import MathConfig
from warmrl_rewards.exact import Exact, exact
from warmrl_rewards.math import Math

from warmrl.api import Config, Problem, WarmrlError
from warmrl.testing import PlainStyle, RewardContract

HOSTILE = Path(__file__).parents[3] / "shared" / "data" / "hostile_answers_sample.json"
HANGS = "9^{9^{9}}"
SLOW_SUM = "(x+y)^{2000}-(x-y)^{1999}"


class TestMathContract(RewardContract):
    plugin = "warmrl_rewards"
    name = "math"
    settings: ClassVar = {"deadline": 1.0}
    right = ("4", "4.0", "\\frac{8}{2}", "2^2", "x = 4", "\\log_2(16)")
    wrong = ("5", "", "four and a half", "-4", "\\log_2(8)")


class TestFormatContract(RewardContract):
    plugin = "warmrl_rewards"
    name = "format"
    right = ("anything",)
    wrong = ("", " ")


@pytest.fixture(scope="module")
def reward():
    reward = Math(MathConfig(deadline=1.0, workers=1), PlainStyle(Config()))
    yield reward
    reward.close()


def score(reward, gold, *answers):
    return reward.score(Problem("p", (), gold), answers)


# gold, answer, verdict: decided without a grading process.
QUICK = [
    ("42", "42", 1),
    ("42", "43", 0),
    ("42", "+42.00", 1),
    ("42", "$42$", 1),
    ("42", "\\boxed{42}", 1),
    ("-3", "−3", 1),  # noqa: RUF001
    ("-3", "–3", 1),  # noqa: RUF001
    ("15/2", "30/4", 1),
    ("\\frac{15}{2}", "7 1/2", 1),
    ("7.5", "7\\frac{1}{2}", 1),
    ("-7.5", "-7\\frac12", 1),
    ("\\frac{1}{2}", "\\dfrac 1 2", 1),
    ("\\frac{1}{3}", "0.333", 0),
    ("1000", "1,000", 1),
    ("1000", "1 000", 1),
    ("1000", "1{,}000", 1),
    ("1000", "10^3", 1),
    ("120", "1.2e2", 1),
    ("120", "1.2\\times10^{2}", 1),
    ("120", "120°", 1),
    ("120", "m∠A=120^{\\circ}", 1),
    ("120", "m\\angle 1 = 120^\\circ", 1),
    ("8.6", "x ≈ 8.6", 1),
    ("12.5", "12,5", 1),
    ("12.5", "12.5\\text{ cm}", 1),
    ("12.5 m", "12.5 cm", 0),
    ("72 cm^2", "72 square centimeters", 1),
    ("72 cm^2", "72 cm", 0),
    ("50\\%", "0.5", 1),
    ("50\\%", "50", 1),
    ("0.5\\%", "50\\%", 0),
    ("6\\sqrt{2}", "6√2", 1),
    ("6\\sqrt{2}", "6", 0),
    ("6\\sqrt{2}", "\\sqrt{72}", 1),
    ("6\\sqrt{2}", "\\frac{12}{\\sqrt 2}", 1),
    ("6\\sqrt{2}", "6\\sqrt{2}\\approx 8.49", 1),
    ("9\\pi", "9π", 1),
    ("2\\pi/3", "\\frac{2\\pi}{3}", 1),
    ("yes", "Yes", 1),
    ("A", "\\text{A}", 1),
    ("A", "B", 0),
    ("", "", 0),
    ("10^{12}", "10¹²", 1),
]
# Decided by math-verify.
SLOW = [
    ("6\\sqrt{2}", "8.48528137", 1),
    ("6\\sqrt{2}", "8.49", 0),
    ("x^2+2x+1", "(x+1)^2", 1),
    ("x^2+2x+1", "(x-1)^2", 0),
    ("\\{1,2\\}", "\\{2,1\\}", 1),
    ("(1,2)", "(2,1)", 0),
    ("5", "5=6", 0),
    ("5", "5 or 6", 0),
]


@pytest.mark.parametrize(("gold", "answer", "verdict"), [case for case in QUICK if case[0] != "A" or case[1] != "B"])
def test_quick_verdicts_start_no_process(gold, answer, verdict):
    reward = Math(MathConfig(), PlainStyle(Config()))
    assert score(reward, gold, answer) == [verdict]
    assert reward.pool.workers == []


@pytest.mark.parametrize(("gold", "answer", "verdict"), [*SLOW, ("A", "B", 0)])
def test_verdicts_of_math_verify(reward, gold, answer, verdict):
    assert score(reward, gold, answer) == [verdict]


GOLDS = [
    "42",
    "7.5",
    "\\frac{15}{2}",
    "6\\sqrt{2}",
    "9\\pi",
    "x+1",
    "\\frac{3\\sqrt{5}}{2}",
    "(1, 2)",
    "12.5\\text{ cm}",
    "C",
]


@pytest.mark.parametrize("gold", GOLDS)
def test_a_gold_equals_itself_however_it_is_spelled(reward, gold):
    variants = [gold, f"${gold}$", f" {gold} ", gold.replace("\\frac", "\\dfrac"), f"\\left.{gold}\\right.", f"{gold}."]
    assert score(reward, gold, *variants) == [1.0] * len(variants)


@given(st.integers(-(10**6), 10**6), st.integers(1, 999), st.integers(1, 9))
def test_exact_fractions(top, bottom, factor):
    value = Fraction(top, bottom)
    assert exact(f"{top}/{bottom}") == Exact(value)
    assert exact(f"\\frac{{{top * factor}}}{{{bottom * factor}}}") == Exact(value)
    assert exact(str(exact(f"{top}/{bottom}"))) == Exact(value)


@given(st.integers(1, 99), st.integers(1, 300), st.integers(1, 9))
def test_exact_surds(coefficient, radicand, denominator):
    found = exact(f"\\frac{{{coefficient}\\sqrt{{{radicand}}}}}{{{denominator}}}")
    assert found is not None
    assert found.coefficient**2 * found.radicand == Fraction(coefficient**2 * radicand, denominator**2)
    assert exact(str(found)) == found


@pytest.mark.parametrize(
    "text", ["", "x", "1 2", "3/0", "\\frac{1}{0}", "5-3", "1/", "/2", "٤٢", "9" * 300, "0^{-1}", "--1"]
)
def test_exact_refuses_what_is_no_number(text):
    assert exact(text) is None


@pytest.mark.parametrize(
    ("answers", "canonical"),
    [
        (["7.5", "15/2", "7 1/2", "\\frac{30}{4}", "x = 7.50 cm"], "15/2"),
        (["\\sqrt{72}", "6√2"], "6\\sqrt{2}"),
        (["x + 1", "x+1", "$x+1$"], "x+1"),
        (["Yes", "yes"], "yes"),
        (["2 \\pi r", "2\\pi r"], "2\\pi r"),
    ],
)
def test_canonical(reward, answers, canonical):
    assert {reward.canonical(answer) for answer in answers} == {canonical}


@pytest.mark.parametrize(
    ("raw", "text", "unit"),
    [
        ("5 cm", "5", "cm"),
        ("5m", "5m", ""),
        ("5 m", "5", "m"),
        ("3 inches", "3", "in"),
        ("50 %", "50", "%"),
        ("cm", "cm", ""),
    ],
)
def test_units(raw, text, unit):
    assert (normalise(raw).text, normalise(raw).unit) == (text, unit)


def test_timeouts_are_counted(reward):
    before = reward.timeouts
    grades = reward.grade(Problem("p", (), "42"), [SLOW_SUM, "42", "", "43"])
    assert [grade.verdict for grade in grades] == ["timed out", "right", "no answer", "wrong"]
    assert [grade.score for grade in grades] == [0.0, 1.0, 0.0, 0.0]
    assert [grade.canonical for grade in grades][1:] == ["42", None, "43"]
    assert reward.timeouts == before + 1


def test_endless_answers_are_refused_without_a_process():
    reward = Math(MathConfig(), PlainStyle(Config()))
    answers = [
        HANGS,
        "7^{999999999}",
        "9999999!",
        "\\binom{100000000}{50000000}",
        "(" * 50 + "1" + ")" * 50,
        "\\int e^{x} dx",
    ]
    assert score(reward, "42", *answers) == [0.0] * len(answers)
    assert reward.refused == len(answers)
    assert score(reward, "x^4+x^3+x^2+x", "x^4+x^3+x^2+x") == [1.0]
    assert reward.pool.workers == []


@pytest.mark.skipif(not HOSTILE.exists(), reason="the shared data is not here")
@pytest.mark.parametrize("gold", ["42", "6\\sqrt{2}"])
def test_hostile_sample(reward, gold):
    completions = {
        name: text.rsplit("\\boxed{", 1)[-1].removesuffix("}") for name, text in json.loads(HOSTILE.read_text()).items()
    }
    right = {"42": ["benign_int", "benign_long_cot"], "6\\sqrt{2}": ["benign_sqrt"]}[gold]
    start = time.monotonic()
    scores = dict(zip(completions, score(reward, gold, *completions.values()), strict=True))
    assert time.monotonic() - start < 10
    assert [name for name, one in scores.items() if one] == right


def test_hostile_text_runs_no_code(reward, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    payloads = [
        "__import__('os').system('touch here')",
        "open('here','w').write('x')",
        "\\text{__import__('os').system('touch here')}",
        "exec(\"open('here','w')\")",
        "().__class__.__base__.__subclasses__()",
        "\\input{/etc/passwd}",
        "lambda: open('here', 'w')",
    ]
    assert score(reward, "42", *payloads) == [0.0] * len(payloads)
    assert list(tmp_path.iterdir()) == []
