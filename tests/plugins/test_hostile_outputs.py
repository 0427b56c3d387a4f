"""Hostile completions under every registered reward and answer style: none hangs, none crashes, and grading goes on.

The kinds are `warmrl.testing.hostile`'s, and the shared sample's where it is.
"""

import json
import os
import threading
import time
from pathlib import Path

import pytest

from warmrl.api import Problem
from warmrl.engine.grading import open_reward
from warmrl.plugin.registry import Registry
from warmrl.testing import hostile_texts

SAMPLE = Path(os.environ.get("WARMRL_SHARED", Path(__file__).parents[3] / "shared"), "data/hostile_answers_sample.json")
REGISTRY = Registry.installed()
REWARDS = [one.name for one in REGISTRY.of_kind("reward") if one.distribution == "warmrl"]
STYLES = [one.name for one in REGISTRY.of_kind("answer style")]
DEADLINE = 0.5
VERDICTS = {"right", "wrong", "no answer", "timed out"}
# By reward, or "": the gold answer (none of the hostile texts says it), and a benign completion's answer.
GOLDS = {
    "mathvista": ("1729", "1729"),
    "mmmu": ("1729", "1729"),
    "iou": ("[1, 2, 3, 5]", "[1, 2, 3, 5]"),
    "choice": ("D", "(D)"),
    "digit": ("1729", "1,729"),
    "open_ended": ("1729", "1729 and 1730"),
}
ROOT = ("7\\sqrt{2}", "\\sqrt{98}")
# What a reward needs in its table or in the problem, beside the deadline.
SCORER = {"scorer": {"use": "pocket_scorer"}, "right_from": 0.1}
SETTINGS = {
    "open_ended": SCORER,
    "mixed": {"by_kind": {"math": {"use": "math", "deadline": DEADLINE}, "open": {"use": "open_ended", **SCORER}}},
}
EXTRAS = {"choice": {"choices": ["one", "two", "three", "four"]}, "open_ended": {"shown": ["1729", "1730"]}}


def completions() -> dict[str, str]:
    sample = json.loads(SAMPLE.read_text()) if SAMPLE.exists() else {}
    return {**hostile_texts(), **{name: text for name, text in sample.items() if not name.startswith("benign")}}


TEXTS = completions()


@pytest.fixture(scope="module", params=REWARDS)
def reward(request, tmp_path_factory):
    style = REGISTRY.instance(REGISTRY.choose("answer style", {"use": "boxed"}, {"registry": REGISTRY}))
    limits = {"deadline": DEADLINE} if "deadline" in REGISTRY.get("reward", request.param).config.model_fields else {}
    table = {"use": request.param, **limits, **SETTINGS.get(request.param, {})}
    choice = REGISTRY.choose("reward", table, {"registry": REGISTRY})
    reward = open_reward(choice, style, REGISTRY, tmp_path_factory.mktemp("reward"))
    reward.start()
    yield reward
    reward.close()


def problem_of(reward) -> tuple[Problem, str]:
    """A problem for this reward, and a completion that answers it."""
    name = REWARDS_BY_TYPE[type(reward)]
    gold, benign = GOLDS.get(name, ROOT)
    return Problem("p", (), gold, extra=EXTRAS.get(name, {})), reward.style.wrap("so", benign)


REWARDS_BY_TYPE = {REGISTRY.get("reward", name).load(): name for name in REWARDS}


def graded(reward) -> float:
    """Grade every text alone, hold the grades to their contract, and return the longest time of one in seconds."""
    problem, benign = problem_of(reward)
    expected = reward.grade(problem, [benign])[0]
    longest = 0.0
    for name, text in TEXTS.items():
        start = time.monotonic()
        (grade,) = reward.grade(problem, [text])
        longest = max(longest, time.monotonic() - start)
        assert grade.verdict in VERDICTS, name
        assert reward.low <= grade.score <= reward.high, name
        assert grade.verdict != "right" or REWARDS_BY_TYPE[type(reward)] == "format", name
        if grade.extracted is not None:
            canonical = reward.canonical(grade.extracted)
            assert reward.canonical(canonical) == canonical, name
        if grade.verdict == "timed out":
            assert reward.grade(problem, [benign]) == [expected], name
    assert reward.grade(problem, [benign]) == [expected]
    return longest


def test_there_are_rewards_and_texts():
    assert {"math", "geo3k_easyr1", "choice", "digit", "iou", "format"} <= set(REWARDS)
    assert len(hostile_texts()) > 80


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_main_thread_survives(reward, record_property):
    record_property("longest", graded(reward))


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_worker_thread_survives(reward, record_property):
    found = []
    thread = threading.Thread(target=lambda: found.append(graded(reward)))
    thread.start()
    thread.join()
    assert found
    record_property("longest", found[0])


def test_a_benign_answer_is_right_after_some_that_hang(reward):
    """The lean version of the two above, for every run."""
    problem, benign = problem_of(reward)
    names = ["spaces and a slash", "python towers", "polynomial", "many factorials", "boxes", "null and surrogates"]
    grades = reward.grade(problem, [*(TEXTS[name] for name in names), benign])
    assert REWARDS_BY_TYPE[type(reward)] == "format" or not any(grade.verdict == "right" for grade in grades[:-1])
    assert grades[-1].verdict == "right" or REWARDS_BY_TYPE[type(reward)] == "reflection"  # which counts words


@pytest.mark.parametrize("name", STYLES)
def test_styles_survive(name):
    style = REGISTRY.instance(REGISTRY.choose("answer style", {"use": name}, {"registry": REGISTRY}))
    for text in TEXTS.values():
        answer = style.extract(text)
        assert answer is None or answer in text
        assert style.well_formed(text) in (True, False)
