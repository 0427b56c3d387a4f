"""The rule that says whether reasoning leads to its answer: by hand, and against answers that do not belong to it."""

import numpy as np
import pytest
from warmrl_answers.config import TagsConfig
from warmrl_answers.tags import Tags
from warmrl_pocket.geometry import KINDS
from warmrl_pocket.kinds import draw_figure
from warmrl_pocket.traces import clean
from warmrl_rewards.config import MathConfig
from warmrl_rewards.math import Math
from warmrl_specs.consistency import leads_to
from warmrl_specs.judge import request, said_yes

from warmrl.api import Completion, Image, Message, Problem, Text

STYLE = Tags(TagsConfig())
MATH = Math(MathConfig(), STYLE)

AGREE = [
    ("read 7 and 5 . 7 * 5 = 35", "35"),
    ("4 + 6 = 10 . 10 + 5 = 15", "15"),
    ("The area is 7 * 5 = 35 square feet.", "35"),
    ("So the area is 35 cm^2.", "35"),
    ("The sides are 3 and 4, which gives 5.", "5"),
    ("2 * 7 = 14. Both sides together, so the perimeter is 28.", "28"),
    ("x = 6\\sqrt{2} \\approx 8.49", "6\\sqrt{2}"),
    ("x = 6√2 ≈ 8.49", "8.49"),
    ("Thus $x = \\frac{1}{2}$.", "1/2"),
    ("so \\(y = 0.5\\)", "\\frac{1}{2}"),
    ("It weighs 1,200 kg", "1200"),
    ("we get \\boxed{12}, and 13 is next", "12"),
    ("**Answer:** 42", "42"),
    ("The answer is 42.", "x = 42"),
    ("By symmetry, option (C) fits.", "C"),
    ("(A) is wrong, (B) too. The answer is D", "(D)"),
    ("A is the answer? No: option B.", "B"),
    ("only three remain: 3", "3"),
]
DISAGREE = [
    ("read 7 and 5 . 7 * 5 = 35", "36", "another conclusion"),
    ("7 * 5 = 35", "7", "another conclusion"),
    ("x = 6\\sqrt{2}", "6", "another conclusion"),
    ("x = 3y", "3", "another conclusion"),
    ("The answer is 42.", "24", "another conclusion"),
    ("(A) is wrong. The answer is B", "A", "another conclusion"),
    ("the sum is 12", "B", "no conclusion"),
    ("It is twice as long.", "2", "no conclusion"),
    ("", "2", "no conclusion"),
]
# What `leads_to` says that it cannot see.
BLIND = [
    ("x = 6\\sqrt{2}", "8.49"),
    ("The length is 5. The number of sides is 3.", "5"),
    ("It is twice as long.", "2"),
]


def judge(reasoning, answer):
    return leads_to(STYLE.wrap(reasoning, answer), answer, MATH.canonical)


@pytest.mark.parametrize(("reasoning", "answer"), AGREE)
def test_they_agree(reasoning, answer):
    assert judge(reasoning, answer) is None


@pytest.mark.parametrize(("reasoning", "answer", "why"), DISAGREE)
def test_they_do_not(reasoning, answer, why):
    assert judge(reasoning, answer) == why


@pytest.mark.parametrize(("reasoning", "answer"), BLIND)
def test_what_it_cannot_see_is_left_out(reasoning, answer):
    assert judge(reasoning, answer) is not None


def test_without_reasoning():
    assert leads_to("<answer> 3 </answer>", "3", MATH.canonical) == "no reasoning"


def traces():
    kinds = list(KINDS.values())
    figures = [draw_figure(f"consistency/{number}", kinds, "train") for number in range(300)]
    return [clean(figure, np.random.default_rng(number)) for number, figure in enumerate(figures)]


def test_answers_that_belong_and_answers_that_do_not():
    """The baseline: of 300 pocket traces all agree; with another's answer, or one off by one, those that are equal."""
    whole = traces()
    answers = [STYLE.extract(text) for text in whole]
    assert [leads_to(text, answer, MATH.canonical) for text, answer in zip(whole, answers, strict=True)] == [None] * 300
    shifted = answers[1:] + answers[:1]
    agree = [leads_to(text, answer, MATH.canonical) is None for text, answer in zip(whole, shifted, strict=True)]
    assert agree == [one == other for one, other in zip(answers, shifted, strict=True)]
    assert 0 < sum(agree) < 30
    off = [str(int(answer) + 1) for answer in answers]
    assert not any(leads_to(text, answer, MATH.canonical) is None for text, answer in zip(whole, off, strict=True))


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("yes", True), ("Yes.", True), ("**No**", False), ("no, it ends with 36", False),
        ("The reasoning arrives at 35, so yes.", True), ("Yes ... on reflection, no", None), ("maybe", None),
        ("", None), ("yesterday", None), ("Yes. It does, so my reply is: yes", True),
    ],
)  # fmt: skip
def test_what_a_judge_says(text, verdict):
    assert said_yes(Completion((), text)) is verdict


def test_a_reply_that_was_cut_off_says_nothing():
    assert said_yes(Completion((), "yes", finish="length")) is None


def test_what_a_judge_is_asked():
    problem = Problem("a/1", (Message("user", (Image("key", lambda: None), Text("How many {sides}?"))),), gold="3")
    one, two = request(problem, "<think> x = 3 </think>"), request(problem, "other")
    text = one.messages[0].parts[0].text
    assert "Question: <image> How many {sides}?\n" in text
    assert "<think> x = 3 </think>" in text
    assert one.id != two.id
    assert one == request(problem, "<think> x = 3 </think>")
