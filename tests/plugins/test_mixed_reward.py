"""The rewards `mixed` and `open_ended`, and the hand-made cases of every branch."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, ClassVar

import pytest
from warmrl_rewards.open_ended import improvement

from warmrl.api import Problem, Reward, Teacher, TeacherConfig, UsageError
from warmrl.engine import recipe_file
from warmrl.engine.entries import Entries
from warmrl.engine.grading import open_reward
from warmrl.engine.scoring import Rewards
from warmrl.engine.trial import try_rewards
from warmrl.plugin.registry import Registry
from warmrl.testing import RewardContract

REGISTRY = Registry.installed()
CONTEXT = {"registry": REGISTRY}
SCORER = {"use": "open_ended", "scorer": {"use": "pocket_scorer"}}
STYLE = REGISTRY.instance(REGISTRY.choose("answer style", {"use": "tags"}, CONTEXT))


class TestMixedContract(RewardContract):
    plugin = "warmrl_rewards"
    name = "mixed"
    settings: ClassVar = {"by_kind": {"math": {"use": "math", "deadline": 0.5}, "open": SCORER}}
    right = ("4", "\\frac{8}{2}", "2^2")
    wrong = ("5", "", "A")


def opened(folder: Path, **settings: Any) -> Reward[Any]:
    choice = REGISTRY.choose("reward", {"use": "mixed", **settings}, CONTEXT)
    return open_reward(choice, STYLE, REGISTRY, folder)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Any:
    found = opened(tmp_path_factory.mktemp("mixed"), by_kind={"open": SCORER})
    yield found
    found.close()


BOX = "[0.2, 0.2, 0.6, 0.6]"
# kind, gold, answer, score
CASES = [
    ("digit", "3", "3", 1), ("digit", "3", " 3. ", 1), ("digit", "3", "3 balls", 1), ("digit", "3", "3 cm", 1),
    ("digit", "3", "03", 1), ("digit", "3", "13", 0), ("digit", "3", "3, 4", 0), ("digit", "3", "three", 0),
    ("digit", "0", "0", 1), ("digit", "0", "zero", 0), ("digit", "3", "-3", 0), ("digit", "3", "\\boxed{3}", 1),
    ("choice", "A", "A", 1), ("choice", "A", "(A)", 1), ("choice", "A", "A)", 1), ("choice", "A", "a.", 1),
    ("choice", "A)", "A", 1), ("choice", "(a)", "A", 1), ("choice", "A", "A) the cat", 1), ("choice", "A", "B", 0),
    ("choice", "A", "A or B", 0), ("choice", "A", "(A) (B)", 0), ("choice", "A", "AB", 0), ("choice", "A", "A, B", 0),
    ("math", "y = -5 * sin(-5 * x).", "y = -5 * sin(-5 * x)", 1), ("math", "\\frac{1}{2}", "0.5", 1),
    ("math", "12\\pi", "12", 0), ("math", "x^2 - 1", "(x - 1)(x + 1)", 1), ("math", "5 cm", "5", 1),
    ("iou", BOX, BOX, 1), ("iou", BOX, "0.2, 0.2, 0.6, 0.6", 1), ("iou", BOX, "[0.6, 0.6, 0.2, 0.2]", 1),
    ("iou", BOX, "[0.6, 0.2, 0.2, 0.6]", 1), ("iou", BOX, "[0.2, 0.2, 0.6, 0.4]", 0.5),
    ("iou", BOX, "[0.4, 0.2, 0.8, 0.6]", 1 / 3), ("iou", BOX, "[0.6, 0.2, 0.9, 0.6]", 0),
    ("iou", BOX, "[0.6, 0.6, 0.9, 0.9]", 0), ("iou", BOX, "[0.7, 0.7, 0.9, 0.9]", 0),
    ("iou", BOX, "[0.4, 0.4, 0.4, 0.4]", 0), ("iou", BOX, "[0.2, 0.3, 0.6, 0.3]", 0),
    ("iou", BOX, "[0, 0, 1, 1]", 0.16), ("iou", BOX, "[0.2, 0.2, 0.6]", 0), ("iou", BOX, "[0.2, 0.2, 0.6, nan]", 0),
    ("iou", BOX, "[20, 20, 60, 60]", 0), ("iou", BOX, "the box", 0), ("iou", "[0, 0, 0, 0]", BOX, 0),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "gold", "answer", "score"), CASES)
def test_every_branch(mixed: Any, kind: str, gold: str, answer: str, score: float) -> None:
    problem = Problem("p", (), gold, kind=kind)
    text = STYLE.wrap("so", answer)
    (grade,) = mixed.grade(problem, [text])
    assert grade.score == pytest.approx(score, abs=1e-9)
    assert mixed.score(problem, [text]) == [grade.score]
    assert grade.parts == {kind: grade.score}
    assert (grade.verdict == "right") == (score >= (0.5 if kind == "iou" else 1))


@pytest.mark.parametrize("kind", ["digit", "choice", "math", "iou", "open"])
def test_without_an_answer_nothing_counts(mixed: Any, kind: str) -> None:
    """Whatever the text says outside of the tags: the right answer, half a tag, an empty one."""
    gold = {"choice": "A", "iou": BOX}.get(kind, "3")
    problem = Problem("p", (), gold, kind=kind)
    texts = [gold, f"<think>{gold}</think>", f"<answer>{gold}", "<answer> </answer>", ""]
    grades = mixed.grade(problem, texts)
    assert {(one.score, one.verdict, one.extracted) for one in grades} == {(0.0, "no answer", None)}
    assert mixed.score(problem, texts) == [0.0] * len(texts)
    assert mixed.grade(problem, []) == []


def test_a_branch_is_asked_for_answers_alone_and_each_keeps_its_place(mixed: Any) -> None:
    texts = ["3", STYLE.wrap("", "4"), STYLE.wrap("", "3"), "", STYLE.wrap("", "3")]
    assert mixed.score(Problem("p", (), "3", kind="digit"), texts) == [0.0, 0.0, 1.0, 0.0, 1.0]


def test_the_open_ended_reward_by_hand(mixed: Any) -> None:
    """Rates are 10 (right - wrong) / shown: the gold 3.3, then 6.7, 10, 3.3, 0."""
    problem = Problem("p", (), "7", kind="open", extra={"shown": ["7", "8", "9"]})
    answers = ["7 and 8", "7 and 8 and 9", "9", "12", "7"]
    expected = [1 - math.exp(-0.2 * 10 / 3), 1 - math.exp(-0.2 * 20 / 3), 0.0, 0.0, 0.0]
    grades = mixed.grade(problem, [STYLE.wrap("", one) for one in answers])
    assert [one.score for one in grades] == pytest.approx(expected, abs=1e-12)
    assert {one.verdict for one in grades} == {"wrong"}  # a rate is no verdict


@pytest.mark.parametrize("gap", [1e-12, 0.1, 1.0, 1e6])
def test_improvement(gap: float) -> None:
    assert improvement(2 + gap, 2.0, 0.2) == pytest.approx(1 - math.exp(-0.2 * (2 + gap - 2.0)), abs=1e-12)
    assert improvement(2.0, 2 + gap, 0.2) == improvement(2.0, 2.0, 0.2) == 0.0
    assert 0 <= improvement(2 + gap, 2.0, 0.2) <= 1


class Counting(Teacher[TeacherConfig]):
    """Rates by length, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.rests = self.releases = 0
        self.answer: Any = len

    def rate(self, problem: Problem, answers: Any) -> list[float]:
        self.asked.append(list(answers))
        return [self.answer(one) for one in answers]

    def rest(self) -> None:
        self.rests += 1

    def release(self) -> None:
        self.releases += 1


def test_the_reference_is_rated_once_and_equal_answers_once(tmp_path: Path) -> None:
    reward = opened(tmp_path, by_kind={"open": {**SCORER, "right_from": 0.3}})
    scorer = Counting()
    problem, other = (Problem(name, (), "gold", kind="open") for name in "pq")
    texts = [STYLE.wrap("", one) for one in ("longer", "a", "longer")]
    reward.score(Problem("d", (), "3", kind="digit"), texts)
    branch = reward.opens(reward.config.by_kind["open"])
    branch.opens = lambda _: scorer
    grades = branch.grade(problem, texts)
    assert [one.verdict for one in grades] == ["right", "wrong", "right"]
    assert branch.score(problem, texts) == [one.score for one in grades]
    branch.score(other, [*texts, "", STYLE.wrap("", "x" * 20_000)])
    branch.score(other, ["no answer"])
    assert scorer.asked == [["longer", "a"], ["gold"], ["longer", "a"], ["longer", "a"], ["gold"]]
    scorer.answer = lambda _: math.nan
    with pytest.raises(Exception, match="a rate is a finite number for each"):
        branch.score(problem, texts)
    branch.rest()
    branch.close()
    assert (scorer.rests, scorer.releases) == (1, 1)


def refused(**table: Any) -> str:
    try:
        REGISTRY.choose("reward", {"use": "mixed", **table}, CONTEXT)
    except Exception as error:
        return str(getattr(error, "context", error))
    raise AssertionError("it was taken")


def test_what_no_branch_can_be_is_refused(tmp_path: Path) -> None:
    writer = {"use": "server", "model": "m", "urls": ["http://127.0.0.1:1/v1"]}
    assert "gives generates" in refused(by_kind={"open": {"use": "open_ended", "scorer": writer}})
    assert "has a weight" in refused(by_kind={"math": {"use": "math", "weight": 0.5}})
    assert "no reward called `maths`" in refused(by_kind={"math": {"use": "maths"}})
    with pytest.raises(UsageError, match="kind is `open`, and `mixed` has branches for digit, choice, math, iou; add"):
        opened(tmp_path).grade(Problem("p", (), "x", kind="open"), [STYLE.wrap("", "x")])


RECIPE = """
version = 1
name = "tried"
model = {{ path = "pocket:base" }}
answer = {{ use = "tags" }}
data.train = {{ use = "files", path = "{path}" }}
suite.test = {{ use = "files", path = "{path}" }}
reward.mixed = {{}}
grader = {{ use = "mixed" }}
second_opinion = {{ use = "mixed" }}
stage.rl = {{ use = "grpo", steps = 1, prompts_per_step = 1, policy = "base" }}
"""
SET = "by_kind.open={use='open_ended',scorer={use='pocket_scorer'}}"


def test_a_kind_without_a_branch_is_said_before_training(tmp_path: Path) -> None:
    data, recipe = tmp_path / "rows.jsonl", tmp_path / "recipe.toml"
    kinds = [("3", "digit")] * 9 + [("A", "choice"), ("a map of a town", "open")]
    rows = [{"id": str(n), "question": "?", "answer": gold, "kind": kind} for n, (gold, kind) in enumerate(kinds)]
    data.write_text("".join(json.dumps(one) + "\n" for one in rows))
    recipe.write_text(RECIPE.format(path=data))
    entries = Entries(recipe_file.read(recipe), tmp_path / "store")
    said = [one for one in try_rewards(entries) if "WARNING" in one]
    assert len(said) == 3 and all("it cannot score `10`: its kind is `open`" in one for one in said)
    tables = entries.file.recipe.reward
    with pytest.raises(UsageError, match=r"`reward.mixed` cannot score 1 of the 11 problems of `stage.rl`, as `10`"):
        Rewards(tables, STYLE, REGISTRY, tmp_path).check(entries.problems("rl"), "rl")
    sets = [f"{at}.{SET}" for at in ("reward.mixed", "grader", "second_opinion")]
    said = try_rewards(Entries(recipe_file.read(recipe, sets), tmp_path / "store"))
    assert not [one for one in said if "WARNING" in one]
    assert "The reward `mixed` of `data.train` asks a teacher for 1 of 10 problems" in said[0]
    assert said[-1].startswith("`mixed`: tried on 20 problems; gold is right")
