"""Rewards of a recipe: every completion of a group gets its parts and their weighted sum."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from warmrl.domain.answer import AnswerStyle
from warmrl.domain.config import Choice
from warmrl.domain.errors import UsageError, WarmrlError
from warmrl.domain.group import Group
from warmrl.domain.problem import Problem
from warmrl.domain.reward import Reward, RewardConfig
from warmrl.engine.grading import open_reward
from warmrl.plugin.registry import Registry


class Rewards:
    """The recipe's `[reward.*]` tables, as one sum."""

    def __init__(
        self,
        tables: Mapping[str, Choice],
        style: AnswerStyle,
        registry: Registry,
        store: Path,
        *,
        allow_code: bool = False,
    ) -> None:
        self.parts: dict[str, Reward] = {
            name: open_reward(choice, style, registry, store, allow_code=allow_code) for name, choice in tables.items()
        }

    def check(self, problems: Sequence[Problem], stage: str) -> None:
        """Raise `UsageError` when there are problems of a stage that a reward cannot score."""
        for name, reward in self.parts.items():
            refused = [(problem, why) for problem in problems if (why := reward.refuses(problem))]
            if refused:
                problem, why = refused[0]
                raise UsageError(
                    f"`reward.{name}` cannot score {len(refused)} of the {len(problems)} problems of `stage.{stage}`, "
                    f"as `{problem.id}`: {why}."
                )

    def score(self, groups: Iterable[Group]) -> None:
        """Fill `rewards` and `reward` of every completion. Raises `WarmrlError` for a number out of range or count."""
        for group in groups:
            texts = [one.text for one in group.completions]
            for one in group.completions:
                one.reward = 0.0
            for name, reward in self.parts.items():
                scores = reward.score(group.problem, texts)
                check(name, reward, scores, len(texts), group.problem.id)
                for one, score in zip(group.completions, scores, strict=True):
                    one.rewards[name] = float(score)
                    one.reward += weight(reward) * float(score)
        for reward in self.parts.values():
            reward.rest()

    def close(self) -> None:
        """Stop worker processes."""
        for reward in self.parts.values():
            reward.close()


def weight(reward: Reward) -> float:
    """The share of a reward in the sum."""
    assert isinstance(reward.config, RewardConfig)
    return reward.config.weight


def check(name: str, reward: Reward, scores: list[float], count: int, problem: str) -> None:
    """Refuse what would silently spoil an advantage: wrong number, NaN, or out of the declared range."""
    if len(scores) != count:
        raise WarmrlError(f"The reward `{name}` gave {len(scores)} numbers for {count} completions of `{problem}`.")
    for score in scores:
        if not math.isfinite(score) or not reward.low <= score <= reward.high:
            raise WarmrlError(
                f"The reward `{name}` gave {score} for a completion of `{problem}`, outside its declared range "
                f"[{reward.low}, {reward.high}]; nothing was trained on it."
            )
