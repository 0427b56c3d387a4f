"""The answer styles `boxed`, `free` and `tags`."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from warmrl_answers.boxed import Boxed
from warmrl_answers.config import BoxedConfig, TagsConfig
from warmrl_answers.tags import Tags

from warmrl.testing import AnswerStyleContract

BOXED, TAGS = Boxed(BoxedConfig()), Tags(TagsConfig())


class TestBoxedContract(AnswerStyleContract):
    plugin = "warmrl_answers"
    name = "boxed"
    answers = (*AnswerStyleContract.answers, "\\{1, 2\\}", "\\left\\{x : x > 0\\right\\}")


class TestTagsContract(AnswerStyleContract):
    plugin = "warmrl_answers"
    name = "tags"
    answers = (*AnswerStyleContract.answers, "a < b", "{", "\\boxed{5}")


class TestFreeContract(AnswerStyleContract):
    plugin = "warmrl_answers"
    name = "free"
    answers = (*AnswerStyleContract.answers, "a < b", "I do not know.")
    marked = False


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("so \\boxed{42}", "42"),
        ("\\boxed{1} and \\boxed{2}", "2"),
        ("\\boxed{\\frac{1}{2}}.", "\\frac{1}{2}"),
        ("\\boxed{ 5 } }", "5"),
        ("\\boxed {5}", "5"),
        ("\\boxed{x = \\boxed{5}}", "5"),
        ("\\boxed{\\{1, 2\\}}", "\\{1, 2\\}"),
        ("\\boxed{\\left\\{1\\right.}", "\\left\\{1\\right."),
        ("\\boxed{3} then \\boxed{4", None),
        ("\\boxed{}", None),
        ("\\boxed", None),
        ("boxed{5}", None),
    ],
)
def test_boxed_extracts(text, answer):
    assert BOXED.extract(text) == answer


@pytest.mark.parametrize(
    ("text", "formed"),
    [
        ("<think>a</think> The answer is $\\boxed{5}$.", True),
        ("  <think></think>\\boxed{5}", True),
        ("< think >a</ think >\n\\boxed{5}", True),
        ("<think>\\boxed{4}</think>\\boxed{5}", True),
        ("<think>\\boxed{4}</think> five", False),
        ("I <think>a</think>\\boxed{5}", False),
        ("<think>a \\boxed{5}", False),
        ("a</think>\\boxed{5}", False),
        ("<think>a</think>\\boxed{5", False),
        ("\\boxed{5}<think>a</think>", False),
    ],
)
def test_boxed_form(text, formed):
    assert BOXED.well_formed(text) is formed


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("<think>a</think><answer>42</answer>", "42"),
        ("<answer> 42\n</answer>", "42"),
        ("< answer > 35 < / answer >", "35"),
        ("<answer>1</answer><answer>2</answer>", "2"),
        ("<answer>1</answer><answer>2", "1"),
        ("<answer>1<answer>2</answer>", "2"),
        ("<answer>1</answer></answer>", "1"),
        ("<answer> </answer>", None),
        ("</answer>5<answer>", None),
        ("<ANSWER>5</ANSWER>", None),
    ],
)
def test_tags_extracts(text, answer):
    assert TAGS.extract(text) == answer


@pytest.mark.parametrize(
    ("text", "formed"),
    [
        ("<think>a</think><answer>5</answer>", True),
        (" <think> a </think> <answer> 5 </answer>\n", True),
        ("<think></think><answer>5</answer>", True),
        ("<think>a</think> so <answer>5</answer>", False),
        ("<think>a</think><answer>5</answer> done", False),
        ("<think>a</think><answer></answer>", False),
        ("<answer>5</answer><think>a</think>", False),
        ("<think>a</think><answer>5</answer><answer>6</answer>", False),
        ("<think><think>a</think><answer>5</answer>", False),
        ("<answer>5</answer>", False),
    ],
)
def test_tags_form(text, formed):
    assert TAGS.well_formed(text) is formed


def test_instructions_come_from_the_recipe():
    assert "\\boxed{}" in BOXED.instruction()
    assert "<answer> </answer>" in TAGS.instruction()
    assert Tags(TagsConfig(instruction="")).instruction() == ""
    assert Boxed(BoxedConfig(instruction="Box it.")).instruction() == "Box it."


@given(st.text(alphabet="<>/ \\{}abdehiknorstwx1", max_size=60))
def test_any_text_is_read(text):
    for style in (BOXED, TAGS):
        answer = style.extract(text)
        assert answer is None or (answer and answer in text)
        assert not style.well_formed(text) or style is BOXED or answer
