"""The contract of rewards."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from warmrl.domain.answer import AnswerStyle
from warmrl.domain.config import Choice, Config
from warmrl.domain.problem import Message, Problem, Text
from warmrl.domain.reward import Reward, RewardConfig
from warmrl.engine.grading import open_reward
from warmrl.testing.hostile import hostile_texts
from warmrl.testing.plugin import PluginContract


class PlainStyle(AnswerStyle[Config]):
    """The whole completion is the answer; well formed unless it is empty."""

    def instruction(self) -> str:
        """Nothing."""
        return ""

    def extract(self, completion: str) -> str | None:
        """The whole text."""
        return completion.strip() or None

    def well_formed(self, completion: str) -> bool:
        """Whether there is any text."""
        return bool(completion.strip())

    def wrap(self, reasoning: str, answer: str) -> str:
        """The answer alone."""
        return answer


class RewardContract(PluginContract):
    """Finite numbers in the declared range, one per completion, the same every time and in every thread."""

    kind: ClassVar[str] = "reward"
    base: ClassVar[type] = Reward
    config_base: ClassVar[type[Config]] = RewardConfig
    problem: ClassVar[Problem] = Problem("p", (Message("user", (Text("2 + 2?"),)),), "4")
    """The problem that is scored."""
    right: ClassVar[tuple[str, ...]] = ()
    """Completions of `problem` that get the highest reward."""
    wrong: ClassVar[tuple[str, ...]] = ()
    """Completions of `problem` that get less."""
    seconds: ClassVar[float] = 30.0
    """Longest time for all hostile texts together."""

    def style(self) -> Any:
        """The answer style; the whole completion by default."""
        return PlainStyle(Config())

    def opened(self, folder: Path) -> Any:
        """A new reward, as the engine opens it."""
        choice = Choice(kind="reward", use=self.name, config=self.config())
        return open_reward(choice, self.style(), self.registry(), folder)

    @pytest.fixture(scope="class")
    def reward(self, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
        """The reward under test, closed afterwards."""
        reward = self.opened(tmp_path_factory.mktemp("reward"))
        reward.start()
        yield reward
        reward.close()

    def hold(self, reward: Any, completions: Sequence[str]) -> list[float]:
        """Score, and hold the numbers to the declared range."""
        scores = reward.score(self.problem, completions)
        assert isinstance(scores, list)
        assert len(scores) == len(completions)
        assert all(isinstance(s, int | float) and math.isfinite(s) and reward.low <= s <= reward.high for s in scores)
        return scores

    def test_its_range_is_finite(self, reward: Any) -> None:
        assert math.isfinite(reward.low)
        assert math.isfinite(reward.high)
        assert reward.low < reward.high

    def test_right_gets_more_than_wrong(self, reward: Any) -> None:
        assert self.right, "set `right` (and `wrong`) to completions of `problem`"
        scores = self.hold(reward, [*self.right, *self.wrong])
        assert scores[: len(self.right)] == [reward.high] * len(self.right)
        assert all(score < reward.high for score in scores[len(self.right) :])

    def test_grades_say_what_scores_say(self, reward: Any) -> None:
        completions = [*self.right, *self.wrong, ""]
        grades = reward.grade(self.problem, completions)
        assert [grade.score for grade in grades] == self.hold(reward, completions)
        for grade in grades:
            assert grade.verdict in ("right", "wrong", "no answer", "timed out")
            assert (grade.extracted is None) == (grade.canonical is None)
            assert grade.verdict != "no answer" or grade.extracted is None
            assert not grade.parts or math.isclose(sum(grade.parts.values()), grade.score)
        if reward.high == 1.0:
            assert {grade.verdict for grade in grades[: len(self.right)]} == {"right"}
        assert grades[-1].extracted is None
        assert reward.grade(self.problem, []) == []

    def test_no_completions_no_numbers(self, reward: Any) -> None:
        assert self.hold(reward, []) == []

    def test_the_same_every_time(self, reward: Any) -> None:
        completions = [*self.right, *self.wrong, "", *self.right]
        assert self.hold(reward, completions) == self.hold(reward, completions)

    def test_it_works_in_a_thread(self, reward: Any) -> None:
        scores: list[list[float]] = []
        thread = threading.Thread(target=lambda: scores.append(self.hold(reward, [*self.right, *self.wrong])))
        thread.start()
        thread.join(self.seconds)
        assert scores == [self.hold(reward, [*self.right, *self.wrong])]

    def test_hostile_text_is_survived(self, reward: Any) -> None:
        style, texts = self.style(), list(hostile_texts().values())
        before = self.hold(reward, [*self.right, *self.wrong])
        start = time.monotonic()
        self.hold(reward, texts)
        self.hold(reward, [style.wrap("", text[:5000]) for text in texts])
        assert len(reward.grade(self.problem, texts)) == len(texts)
        assert time.monotonic() - start < self.seconds
        assert self.hold(reward, [*self.right, *self.wrong]) == before

    def test_canonical_is_stable(self, reward: Any) -> None:
        for text in ("42", " a  b ", "\\frac{6}{4}", "x = 1.50", "", *(t[:5000] for t in hostile_texts().values())):
            once = reward.canonical(text)
            assert isinstance(once, str)
            assert reward.canonical(once) == once

    def test_it_closes_twice(self, tmp_path: Path) -> None:
        reward = self.opened(tmp_path)
        self.hold(reward, self.right)
        reward.close()
        reward.close()
