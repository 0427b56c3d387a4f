"""The rewards `choice`, `digit`, `iou` and `geo3k_easyr1`, and what respelling an answer does to `math`."""

from typing import ClassVar

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from warmrl_answers.boxed import Boxed
from warmrl_answers.config import BoxedConfig
from warmrl_rewards.choice import ChoiceReward
from warmrl_rewards.config import ChoiceConfig, DigitConfig, Geo3kEasyR1Config, IouConfig, MathConfig
from warmrl_rewards.digit import Digit
from warmrl_rewards.easyr1 import Geo3kEasyR1
from warmrl_rewards.iou import Iou, boxes, matched
from warmrl_rewards.math import Math

from warmrl.api import Config, Problem
from warmrl.testing import PlainStyle, RewardContract

PLAIN = PlainStyle(Config())


class TestChoiceContract(RewardContract):
    plugin = "warmrl_rewards"
    name = "choice"
    problem = Problem("p", (), "B", extra={"choices": ["3", "4", "5"]})
    right = ("B", "(b)", "B.", "4", "B) 4", "The answer is (B).", "4.0")
    wrong = ("A", "", "A or B", "B, C", "3", "B) 3", "D", "none")


class TestDigitContract(RewardContract):
    plugin = "warmrl_rewards"
    name = "digit"
    right = ("4", "4.0", "+4", "8/2", "x = 4")
    wrong = ("5", "", "four", "4 or 5", "44", "-4")


class TestIouContract(RewardContract):
    plugin = "warmrl_rewards"
    name = "iou"
    problem = Problem("p", (), "[0, 0, 10, 10]")
    right = ("[0, 0, 10, 10]", "0 0 10 10", '{"bbox_2d": [0, 0, 10, 10]}', "\\left(0, 0, 10.0, 10\\right)")
    wrong = ("[0, 0, 10, 9]", "", "[0, 0, 10]", "[0,0,10,10],[0,0,1,1]", "none")


class TestGeo3kContract(RewardContract):
    plugin = "warmrl_rewards"
    name = "geo3k_easyr1"
    settings: ClassVar = {"deadline": 0.5}
    seconds: ClassVar = 120.0
    right = ("<think>so</think>\\boxed{4}", " <think> so </think> the answer is \\boxed{4.0}.")
    wrong = ("\\boxed{4}", "<think>so</think>\\boxed{5}", "", "<think>so</think>4")


OPTIONS = ["5 cm", "10 cm", "a cat", "B", "10 cm"]


def choice(gold, answer, options=OPTIONS):
    extra = {} if options is None else {"choices": options}
    (grade,) = ChoiceReward(ChoiceConfig(), PLAIN).grade(Problem("p", (), gold, extra=extra), [answer])
    return grade


# gold, answer, the letter it says ("": none or several)
CHOICES = [
    ("A", "A", "A"),
    ("A", "(A)", "A"),
    ("A", "a)", "A"),
    ("A", "[A].", "A"),
    ("A", "\N{FULLWIDTH LEFT PARENTHESIS}A\N{FULLWIDTH RIGHT PARENTHESIS}", "A"),
    ("A", "【A】", "A"),
    ("A", "答案\N{FULLWIDTH COLON}A。", "A"),
    ("A", "故选A", "A"),
    ("A", "$\\text{(A)}$", "A"),
    ("A", "**A**", "A"),
    ("A", "Option A", "A"),
    ("A", "So the correct answer is: A.", "A"),
    ("A", "A. 5 cm", "A"),
    ("A", "5 cm", "A"),
    ("A", "5\\text{ cm}", "A"),
    ("5 cm", "A", "A"),
    ("C", "a cat", "C"),
    ("C", "(C) a cat", "C"),
    ("C", "C: since it is small", "C"),
    ("B", "E", "B"),
    ("E", "10 cm", "B"),
    ("A", "A) 10 cm", ""),
    ("A", "A or B", ""),
    ("A", "A) or B)", ""),
    ("A", "(A) (B)", ""),
    ("A", "A. 5 cm, B. 10 cm", ""),
    ("A", "F", ""),
    ("A", "AB", ""),
    ("A", "5 cm or 10 cm", ""),
    ("D", "Answer: B", ""),
]


@pytest.mark.parametrize(("gold", "answer", "letter"), CHOICES)
def test_choices(gold, answer, letter):
    grade = choice(gold, answer)
    assert grade.verdict == ("right" if letter else "wrong")
    assert grade.canonical == (letter or " ".join(answer.split()))


def test_choices_without_texts():
    assert [choice("C", one, None).score for one in ("C", "(c)", "C) red", "red", "C) D)", "")] == [1, 1, 1, 0, 0, 0]
    assert choice("A", "Yes", {"a": "Yes", "b": "No"}).verdict == "right"
    assert choice("D", "D").verdict == "right"
    assert choice("A", "", None).verdict == "no answer"


def test_choices_that_are_no_list_are_no_options():
    assert [choice("A", "(A)", odd).score for odd in (5, "AB", [], {})] == [1.0] * 4


DIGITS = [
    ("3", "3.0", 1),
    ("3", "٣", 0),
    ("1234", "1,234", 1),
    ("1234", "1 234", 1),
    ("1,234.5", "1234.50", 1),
    ("50%", "50", 1),
    ("50\\%", "0.5", 1),
    ("50", "50 %", 1),
    ("0.5", "1/2", 1),
    ("3", "3 cm", 1),
    ("3 m", "3 cm", 0),
    ("3", "13", 0),
    ("3", "3, 4", 0),
    ("3", "three or 3", 0),
    ("-3", "\N{MINUS SIGN}3", 1),
    ("no number", "no number", 0),
    ("3", "3 apples", 1),
    ("3 apples", "3", 1),
    ("3 apples", "3 apple", 1),
    ("3", "3 large red cubes.", 1),
    ("3", "4 apples", 0),
    ("3 apples", "3 oranges", 0),
    ("3", "3 hundred", 0),
    ("3", "3 or more", 0),
    ("3", "3 is wrong", 0),
    ("3", "3 x", 0),
    ("3", "there are 3 apples", 0),
]


@pytest.mark.parametrize(("gold", "answer", "score"), DIGITS)
def test_digits(gold, answer, score):
    assert Digit(DigitConfig(), PLAIN).score(Problem("p", (), gold), [answer]) == [score]


BOX = "[0, 0, 10, 10]"
OVERLAPS = [
    (BOX, "[10, 10, 0, 0]", 1.0),
    (BOX, "(0, 0), (10, 10)", 1.0),
    (BOX, "[5, 0, 15, 10]", 1 / 3),
    (BOX, "[10, 0, 20, 10]", 0.0),
    (BOX, "[3, 3, 3, 3]", 0.0),
    ("[3, 3, 3, 3]", "[3, 3, 3, 3]", 0.0),
    (BOX, "[0, 0, 10, 10, 1]", 0.0),
    (BOX, "[0, 0, 10, 1e999]", 0.0),
    (BOX, f"{BOX}, [20, 20, 30, 30]", 0.5),
    (f"[{BOX}, [20, 20, 30, 30]]", f"[[20, 20, 30, 30], {BOX}]", 1.0),
    ("[-1e308, -1e308, 1e308, 1e308]", "[-1e308, -1e308, 1e308, 0]", 0.5),
]


@pytest.mark.parametrize(("gold", "answer", "score"), OVERLAPS)
def test_overlaps(gold, answer, score):
    (grade,) = Iou(IouConfig(), PLAIN).grade(Problem("p", (), gold), [answer])
    assert grade.score == pytest.approx(score, abs=1e-12)
    assert grade.verdict == ("right" if score >= 0.5 else "wrong")
    strict = Iou(IouConfig(threshold=1.0), PLAIN).grade(Problem("p", (), gold), [answer])[0]
    assert (strict.verdict == "right") == (score == 1.0)


finite = st.floats(-1e6, 1e6, allow_subnormal=False)


@given(st.lists(st.tuples(finite, finite, finite, finite), min_size=1, max_size=4))
def test_overlap_is_a_share_and_whole_with_itself(corners):
    found = boxes(str([list(one) for one in corners]))
    assert len(found) == len(corners)
    areas = [x1 < x2 and y1 < y2 for x1, y1, x2, y2 in found]
    assert matched(found, found) == pytest.approx(sum(areas) / len(areas))
    assert 0.0 <= matched(found, found[::-1] + found[:1]) <= 1.0
    assert matched(found[:1], found) == pytest.approx(matched(found, found[:1]), abs=1e-12)


@pytest.fixture(scope="module")
def easyr1():
    reward = Geo3kEasyR1(Geo3kEasyR1Config(deadline=1.0, workers=1), Boxed(BoxedConfig()))
    yield reward
    reward.close()


def test_easyr1_has_two_parts(easyr1):
    texts = ["<think>a</think> \\boxed{6\\sqrt{2}}", "\\boxed{\\sqrt{72}}", "<think>a</think>\\boxed{6}", "6\\sqrt{2}"]
    texts += ["<think>a</think> \\boxed{9**9**9**9}"]
    grades = easyr1.grade(Problem("p", (), "6\\sqrt{2}"), texts)
    assert [grade.score for grade in grades] == pytest.approx([1.0, 0.9, 0.1, 0.0, 0.1])
    assert [grade.verdict for grade in grades] == ["right", "right", "wrong", "no answer", "timed out"]
    assert grades[0].parts == pytest.approx({"accuracy": 0.9, "format": 0.1})
    assert (grades[1].extracted, grades[3].extracted) == ("\\sqrt{72}", None)
    assert easyr1.pool.timeouts == 1


def test_easyr1_has_an_opinion_on_another_style():
    reward = Geo3kEasyR1(Geo3kEasyR1Config(), PLAIN)
    assert [one.verdict for one in reward.grade(Problem("p", (), "35"), ["35", "36"])] == ["right", "wrong"]
    reward.close()


@pytest.fixture(scope="module")
def math():
    reward = Math(MathConfig(deadline=5.0, workers=1), PLAIN)
    yield reward
    reward.close()


# The kinds of gold answers that Geometry3K has, and some that are easily misread.
GOLDS = [
    "6\\sqrt{2}",
    "\\frac{5\\sqrt{3}}{2}",
    "12\\pi",
    "\\frac{32\\pi}{3}",
    "45^\\circ",
    "120^{\\circ}",
    "7.5",
    "1,234",
]
GOLDS += [
    "\\frac{15}{2}",
    "3\\frac{1}{2}",
    "5\\text{ cm}",
    "72 cm^2",
    "x \\lt 3",
    "x\\leq3",
    "m",
    "l",
    "in",
    "3:4",
    "\\pm 3",
]
GOLDS += ["(1, 2)", "[0, 3)", "x+1", "2x^{2}-3", "\\triangle ABC", "\\overline{AB}", "50\\%", "\\$5", "C", "yes", "0"]
GOLDS += ["\\sqrt[3]{5}", "10^{3}", "-\\frac{1}{2}", "\\infty", "A \\cup B", "m\\angle A", "\\emptyset", "\\{1,2\\}"]


@pytest.mark.parametrize("gold", GOLDS)
def test_every_gold_is_itself_and_no_other(math, gold):
    respelled = [gold, f"${gold}$", gold.replace("\\frac", "\\dfrac"), f"\\left.{gold}\\right.", f" {gold} ."]
    assert math.score(Problem("p", (), gold), respelled) == [1.0] * len(respelled)
    assert math.score(Problem("p", (), gold), ["7919", "7919\\sqrt{13}", "z+7919"]) == [0.0] * 3


@pytest.mark.parametrize(
    ("gold", "answer", "right"),
    [
        ("x \\lt 3", "x<3", True),
        ("x \\lt 3", "x>3", False),
        ("x \\lt 3", "x \\leq 3", False),
        ("x ≤ 3", "x \\le 3", True),
        ("A\N{UNION}B", "A \\cup B", True),
        ("m", "5", False),
        ("6\\sqrt{2}", "6", False),
        ("12\\pi", "12", False),
        ("45^\\circ", "45", True),
    ],
)
def test_relations_and_names(math, gold, answer, right):
    assert math.score(Problem("p", (), gold), [answer]) == [float(right)]


def rational(draw):
    top, bottom = draw(st.integers(1, 200)), draw(st.integers(2, 60))
    return f"\\frac{{{top}}}{{{bottom}}}"


@st.composite
def numbers(draw):
    """A number as Geometry3K writes them."""
    kind = draw(st.sampled_from(["integer", "decimal", "fraction", "surd", "pi", "surd over"]))
    whole, root = draw(st.integers(1, 999)), draw(st.integers(2, 97))
    return {
        "integer": str(whole),
        "decimal": f"{whole}.{draw(st.integers(1, 99)):02}",
        "fraction": rational(draw),
        "surd": f"{whole}\\sqrt{{{root}}}",
        "pi": f"{whole}\\pi",
        "surd over": f"\\frac{{{whole}\\sqrt{{{root}}}}}{{7}}",
    }[kind]


@settings(deadline=None, max_examples=60)
@given(gold=numbers(), other=numbers(), unit=st.sampled_from(["", "^\\circ", "°", " cm", "\\text{ units}"]))
def test_respelling_keeps_the_verdict(math, gold, other, unit):
    reward = math
    assume(reward.canonical(gold) != reward.canonical(other))
    ways = [
        lambda text: text.replace("\\frac", "\\dfrac"),
        lambda text: text.replace("{", "{ ").replace("}", " }"),
        lambda text: f"\\left. {text} \\right.",
        lambda text: text + ".00" if text.isdigit() else text + "0" if text.replace(".", "").isdigit() else text,
        lambda text: text + unit,
        lambda text: "x = " + text,
    ]
    for way in ways:
        assert reward.score(Problem("p", (), gold), [way(gold), way(other)]) == [1.0, 0.0], way(gold)


def test_a_bare_gold_would_be_misread():
    """The mutant of the wrapping: without `$`, math-verify takes 6 for six roots of two; with it, it doesn't."""
    from math_verify import LatexExtractionConfig, parse, verify
    from warmrl_rewards.equivalence import equal

    assert not equal("6\\sqrt{2}", "6")
    assert equal("6\\sqrt{2}", "\\sqrt{72}")
    bare = parse("6\\sqrt{2}", [LatexExtractionConfig()], parsing_timeout=None)
    assert not verify(
        bare, parse("$\\sqrt{72}$", [LatexExtractionConfig()], parsing_timeout=None), timeout_seconds=None
    )
