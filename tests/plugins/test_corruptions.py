"""The five format corruptions: what is taken away, what stays, what becomes of text without tags."""

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from warmrl_answers.config import TagsConfig
from warmrl_answers.tags import Tags
from warmrl_specs.corruptions import CORRUPTIONS

STYLE = Tags(TagsConfig())
TAGS = ["<think>", "</think>", "<answer>", "</answer>"]
GONE = {
    "strip_tags": TAGS,
    "strip_answer": TAGS[2:],
    "strip_think": TAGS[:2],
    "answer_in_thought": TAGS[2:],
    "answer_in_words": TAGS[2:],
}
# Anything that is no part of a tag, and holds no word that a corruption brings.
plain = st.text(st.characters(exclude_characters="<>", exclude_categories=["Cs"]), max_size=20).filter(
    lambda text: "Answer:" not in text
)
spelled = st.sampled_from([*TAGS, "< think >", "</ think >", "<\tanswer>", "< / answer >"])
pieces = st.lists(plain | spelled, max_size=9)
whole = st.builds(
    lambda thought, answer, gap: f"<think>{thought}</think>{gap}<answer>{answer}</answer>",
    plain, plain.filter(str.strip), st.sampled_from(["", " ", "\n\n"]),
)  # fmt: skip
few = settings(max_examples=60)


def tags_of(text: str) -> list[str]:
    return [re.sub(r"\s", "", one) for one in re.findall(r"<[^<>]*>", text)]


def words(text: str) -> str:
    """What is no tag, without white space."""
    for one in TAGS:
        text = re.sub(one.replace("<", r"<\s*").replace("/", r"/\s*").replace(">", r"\s*>"), "", text)
    return re.sub(r"\s", "", text)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("strip_tags", "2 * 3 = 6\n6"),
        ("strip_answer", "<think>2 * 3 = 6</think>\n6"),
        ("strip_think", "2 * 3 = 6\n<answer>6</answer>"),
        ("answer_in_thought", "<think>2 * 3 = 6\n6</think>"),
        ("answer_in_words", "<think>2 * 3 = 6</think>\nAnswer:6"),
    ],
)
def test_by_hand(name, expected):
    assert CORRUPTIONS[name]("<think>2 * 3 = 6</think>\n<answer>6</answer>") == expected


def test_spaced_tags_by_hand():
    text = "<think> 2 * 3 = 6 </think> <answer> 6 </answer>"
    assert CORRUPTIONS["answer_in_thought"](text) == "<think> 2 * 3 = 6   6 </think>"
    assert CORRUPTIONS["answer_in_words"](text) == "<think> 2 * 3 = 6 </think> Answer: 6"


@few
@given(whole)
def test_a_well_formed_answer_is_so_no_more(text):
    assert STYLE.well_formed(text)
    assert not any(STYLE.well_formed(corrupt(text)) for corrupt in CORRUPTIONS.values())


@few
@given(pieces)
@example(["<think>", "a", "</think>", "b", "</think>", "c"])
@example(["</answer>", "a", "<answer>"])
def test_its_tags_go_and_the_others_stay(parts):
    text = "".join(parts)
    before = tags_of(text)
    for name, corrupt in CORRUPTIONS.items():
        found = corrupt(text)
        kept = [one for one in before if one not in GONE[name]]
        if name == "answer_in_thought" and "</think>" in kept:
            kept = [one for one in kept if one != "</think>"] + ["</think>"]
            assert re.sub(r"\s", "", found).endswith("</think>")
        assert tags_of(found) == kept, name


@few
@given(pieces)
def test_content_is_kept(parts):
    text = "".join(parts)
    for name, corrupt in CORRUPTIONS.items():
        replaced = re.sub(r"<\s*answer\s*>", "Answer:", text) if name == "answer_in_words" else text
        assert words(corrupt(text)) == words(replaced), name


@few
@given(plain)
def test_text_without_tags_comes_back(text):
    assert [corrupt(text) for corrupt in CORRUPTIONS.values()] == [text] * 5


@few
@given(pieces)
def test_twice_is_once(parts):
    for name, corrupt in CORRUPTIONS.items():
        once = corrupt("".join(parts))
        assert corrupt(once) == once, name


@few
@given(st.text(max_size=60))
def test_any_text_survives(text):
    assert all(isinstance(corrupt(text), str) for corrupt in CORRUPTIONS.values())


def test_what_stripping_brings_together_stays():
    assert CORRUPTIONS["strip_think"]("<thi<think>nk>") == "<think>"
