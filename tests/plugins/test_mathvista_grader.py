"""The grader `mathvista`: official scores of stored extractions, rules, a language model, odd and hostile text."""

from __future__ import annotations

import gzip
import json
import os
from collections import defaultdict
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mathvista_responses import labelled
from misbehaving_server import serving
from warmrl_answers.boxed import Boxed
from warmrl_answers.config import BoxedConfig, FreeConfig
from warmrl_answers.free import Free
from warmrl_benchmarks.config import MathVistaConfig
from warmrl_benchmarks.edit_distance import distance, nearest
from warmrl_benchmarks.mathvista import MathVista
from warmrl_benchmarks.mathvista_rules import extract
from warmrl_benchmarks.mathvista_scoring import LONGEST, Question, score_extractions

from warmrl.api import DataError, Problem, ServiceError
from warmrl.engine.work import Tally
from warmrl.plugin.registry import Registry
from warmrl.testing import RewardContract

ROOT = Path(__file__).parents[2]
SHARED = Path(os.environ.get("WARMRL_SHARED", ROOT.parent / "shared")) / "data" / "mathvista"
OFFICIAL = json.loads((ROOT / "tests" / "golden" / "mathvista_official.json").read_text())
CHOICE = {"question_type": "multi_choice", "answer_type": "text", "choices": ["135°", "140°", "145°", "150°"]}
DEGREES = Problem("p", (), "145°", kind="choice", extra=CHOICE | {"query": "How wide is the angle?"})
WHOLE = Problem("w", (), "7", extra={"question_type": "free_form", "answer_type": "integer", "precision": None})


def grader(style=None, **settings):
    return MathVista(MathVistaConfig(**settings), style or Free(FreeConfig()))


class TestMathVistaContract(RewardContract):
    plugin = "warmrl_benchmarks"
    name = "mathvista"
    problem = DEGREES
    right = ("C", "(C) 145°", "So the answer is \\boxed{145°}.")
    wrong = ("A", "The answer is B.", "")


class TestStrictContract(TestMathVistaContract):
    settings: ClassVar = {"strict": True}


@pytest.fixture(scope="module")
def stored():
    if not SHARED.is_dir():
        pytest.skip(f"{SHARED} is not here")
    problems = json.loads((SHARED / "testmini_min.json").read_text())
    with gzip.open(SHARED / "extractions_sample.jsonl.gz", "rt") as lines:
        return problems, [json.loads(line) for line in lines]


def test_stored_extractions_score_what_was_published(stored):
    problems, rows = stored
    systems = defaultdict(list)
    for row in rows:
        systems[row["model"], float(row["published"])].append(row)
    assert len(systems) == 3
    for (_, published), ones in systems.items():
        verdicts = score_extractions(problems[one["pid"]] | {"extraction": one["extraction"]} for one in ones)
        assert len(ones) == 1000
        assert 100 * sum(verdicts) / 1000 == pytest.approx(published, abs=1e-9)
        assert verdicts == [one["true_false"] for one in ones]


def test_the_graders_score_is_that_of_the_function(stored):
    problems, rows = stored
    for strict in (False, True):
        judge = grader(strict=strict)
        for row in rows[::9]:
            kept = problems[row["pid"]] | {"extraction": row["extraction"]}
            (grade,) = judge.grade(Problem(row["pid"], (), kept["answer"], extra=kept), ["something else"])
            assert (grade.score == 1.0) is score_extractions([kept], strict=strict)[0]


def test_empty_extractions(stored):
    """16.8 officially, as the shortest choice is the nearest to nothing; none when strict."""
    empty = [one | {"extraction": ""} for one in stored[0].values()]
    assert sum(score_extractions(empty)) == 168
    assert sum(score_extractions(empty, strict=True)) == 0
    golds = [one | {"extraction": one["answer"]} for one in stored[0].values()]
    assert all(score_extractions(golds, strict=True))


@pytest.mark.parametrize("name", OFFICIAL["questions"])
def test_odd_extractions_are_predicted_as_officially(name):
    question = Question.of(OFFICIAL["questions"][name], name)
    rows = [(extraction, said) for which, extraction, said in OFFICIAL["predictions"] if which == name]
    assert len(rows) > 10
    assert [question.prediction(extraction) for extraction, _ in rows] == [said for _, said in rows]


@pytest.mark.parametrize(
    ("extraction", "strict", "official"),
    [
        ("C", True, True), ("c", True, False), ("(C)", True, True), ("(C) 145°", True, True), ("C. 145°", True, True),
        ("145°.", True, True), (" 145° ", True, True), ("145", False, True), ("(C) or (D)", False, True),
        ("C. 150°", False, False), ("(Z)", False, False), ("145° or 150°", False, False), ("", False, False),
        (None, False, False), ("angle C", False, False),
    ],
)  # fmt: skip
def test_strict_wants_one_choice(extraction, strict, official):
    question = Question.of(CHOICE | {"answer": "145°"}, "row")
    assert (question.strictly_right(extraction), question.right(extraction)) == (strict, official)


@pytest.mark.parametrize(("said", "strict", "official"), [("7", 1, 1), ("7.0", 1, 1), ("7.9", 0, 1), (True, 0, 0)])
def test_strict_wants_whole_numbers(said, strict, official):
    question = Question.of(WHOLE.extra | {"answer": "7"}, "row")
    assert (question.strictly_right(said), question.right(said)) == (strict, official)


texts = st.text(alphabet="abAB é°\ud800😀", max_size=40)


@given(texts, texts)
def test_distance_is_that_of_the_table(left, right):
    row = list(range(len(right) + 1))
    for place, one in enumerate(left, 1):
        new = [place]
        for other, two in enumerate(right, 1):
            new.append(min(row[other] + 1, new[-1] + 1, row[other - 1] + (one != two)))
        row = new
    assert distance(left, right) == distance(right, left) == row[-1]


def test_the_first_of_the_nearest():
    assert nearest("x", ["ab", "a", "b"]) == "a"
    assert nearest("ABC", ["abc", "ABCDE"]) == "ABCDE"


def test_rules_find_what_responses_say():
    """On phrasings made up here, of which those that the rules miss are known: 8 of 405."""
    found = [question.strictly_right(extract(text, question) or "") for text, question in labelled()]
    assert len(found) > 400
    assert sum(found) >= 0.98 * len(found)


@pytest.mark.parametrize("style", [Free(FreeConfig()), Boxed(BoxedConfig())])
def test_grades_say_what_was_found(style):
    judge = grader(style)
    texts = ["<think>A?</think>The answer is \\boxed{(C)}", "\\boxed{B}", "I can't see it.", ""]
    right, wrong, open_one, empty = judge.grade(DEGREES, texts)
    assert (right.score, right.canonical, right.verdict) == (1.0, "145°", "right")
    assert (wrong.extracted, wrong.canonical, wrong.verdict) == ("B", "140°", "wrong")
    for one in (open_one, empty):
        assert (one.extracted, one.canonical, one.verdict) == (None, None, "no answer")
    assert grader(style).grade(WHOLE, ["It is 7.", "7.9 apples"])[0].canonical == "7"


def test_a_gold_may_be_the_letter_and_a_row_bare():
    lettered = Problem("p", (), "C", extra=CHOICE)
    assert grader().score(lettered, ["C", "145°", "B"]) == [1.0, 1.0, 0.0]
    bare = [Problem("p", (), gold) for gold in ("7", "2.50", "[1, 2]")]
    assert [grader().score(one, ["7", "2.504", "[1,2]"]) for one in bare] == [[1, 0, 0], [0, 0, 0], [0, 0, 1]]
    assert grader().score(Problem("p", (), "2.5"), ["2.504"]) == [1.0]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"question_type": "essay"}, "`question_type` is 'essay'"),
        ({"question_type": "free_form"}, "`answer_type` 'text'"),
        ({"choices": None}, "`choices` is ()"),
        ({"choices": ["a", 5]}, "`choices` is ['a', 5]"),
        ({"choices": "abc"}, "`choices` is 'abc'"),
    ],
)
def test_rows_that_are_not_mathvistas_are_named(change, named):
    with pytest.raises(DataError, match=r"row 2") as raised:
        good = CHOICE | {"answer": "145°", "extraction": "C"}
        score_extractions([good, good | change])
    assert named in str(raised.value)
    with pytest.raises(DataError, match="row 1 has no `extraction`"):
        score_extractions([CHOICE])
    with pytest.raises(DataError, match="neither `answer` nor `gold`"):
        score_extractions([CHOICE | {"extraction": ""}])


def test_an_absurdly_long_extraction_is_none():
    assert grader().grade(DEGREES, ["9" * (LONGEST + 1)])[0].verdict == "no answer"
    stored = Problem("p", (), "145°", extra=CHOICE | {"extraction": "9" * (LONGEST + 1)})
    assert grader().grade(stored, [""])[0].verdict == "no answer"


@pytest.fixture
def server():
    with serving() as found:
        found.answer = lambda body: " C\n" if "third" in body["messages"][0]["content"] else ""
        yield found


def extracting(server, folder, **settings):
    """A grader whose extractor is served, opened as the engine opens it."""
    registry = Registry.installed()
    teacher = {"use": "server", "model": "m", "urls": [server.url], "retries": 1, "backoff": 0.001, **settings}
    config = MathVistaConfig.model_validate({"extractor": teacher}, context={"registry": registry})
    found = MathVista(config, Free(FreeConfig()))
    alone = SimpleNamespace(rank=0, world=1, gather=lambda own: own, together=lambda: nullcontext())
    own = {"processes": alone, "style": None, "policy": None, "work": Tally()}
    stage = SimpleNamespace(name="grader", seed=0, folder=folder / "a" / "b", **own)
    found.opens = lambda choice: registry.instance(choice, stage)
    return found


def test_a_language_model_extracts_once(server, tmp_path):
    texts = ["The third one fits.", "145°", "The third one fits.", "I don't know.", ""]
    judge = extracting(server, tmp_path)
    grades = judge.grade(DEGREES, texts)
    judge.close()
    assert [one.verdict for one in grades] == ["right", "right", "right", "no answer", "no answer"]
    asked = server.asked()
    assert len(asked) == 2
    for body in asked:
        assert (body["temperature"], body["max_tokens"], body["n"]) == (0.0, 256, 1)
        assert "How wide is the angle?\n\nModel response: " in body["messages"][0]["content"]
    again = extracting(server, tmp_path)
    assert again.grade(DEGREES, texts) == grades
    again.close()
    assert len(server.asked()) == 2


@pytest.mark.parametrize("fault", ["500", "hang up", "half", "two choices"])
def test_a_server_that_misbehaves_is_asked_again_or_named(server, tmp_path, fault):
    server.faults = [fault]
    judge = extracting(server, tmp_path)
    if fault == "two choices":
        with pytest.raises(ServiceError, match="2 choices"):
            judge.grade(DEGREES, ["The third one fits."])
    else:
        assert judge.score(DEGREES, ["The third one fits."]) == [1.0]
    server.always = "500"
    with pytest.raises(ServiceError, match="gave no usable reply"):
        judge.grade(DEGREES, ["Surely the third."])
    judge.close()
