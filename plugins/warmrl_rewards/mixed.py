"""The reward `mixed`: each problem is scored by the reward of its kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from warmrl.api import Grade, Problem, Reward, UsageError
from warmrl_rewards.config import MixedConfig


class Mixed(Reward[MixedConfig]):
    """R(y) = R_kind(y), and 0 where the answer style finds no answer in y (VLAA-Thinker, methods B.3).

    `by_kind` names the reward of each kind of problem (`Problem.kind`). A completion without an answer is never shown
    to a branch: its score is 0 and its verdict `no answer`, so that the form is learnt without a reward of its own.
    Verdicts and canonical forms are the branch's; `parts` names the kind. Branches are made when they are first needed,
    and closed with this reward. Raises `UsageError` for a problem of a kind without a branch.
    """

    _started = False

    def __init__(self, config: MixedConfig, style: Any) -> None:
        super().__init__(config, style)
        self._branches: dict[str, Reward[Any]] = {}

    def score(self, problem: Problem, completions: Sequence[str]) -> list[float]:
        """The branch's number for each completion, in order; 0.0 without an answer."""
        answered, branch = self._answered(completions), self._branch(problem)
        scores = iter(branch.score(problem, [one for one in answered if one is not None]))
        return [0.0 if one is None else next(scores) for one in answered]

    def grade(self, problem: Problem, completions: Sequence[str]) -> list[Grade]:
        """The branch's grade of each completion, in order."""
        answered, branch = self._answered(completions), self._branch(problem)
        grades = iter(branch.grade(problem, [one for one in answered if one is not None]))
        nothing = Grade(0.0, None, None, "no answer")
        found = [nothing if one is None else next(grades) for one in answered]
        return [replace(one, parts={problem.kind: one.score}) for one in found]

    def refuses(self, problem: Problem) -> str:
        """A kind without a branch, or what the branch refuses."""
        if problem.kind in self.config.by_kind:
            return self._branch(problem).refuses(problem)
        return (
            f"its kind is `{problem.kind}`, and `mixed` has branches for {', '.join(self.config.by_kind)}; add "
            f"`by_kind.{problem.kind} = {{ use = … }}`, or leave such problems out of the data"
        )

    def asks_teacher(self, problem: Problem) -> bool:
        """Whether the branch does."""
        return problem.kind in self.config.by_kind and self._branch(problem).asks_teacher(problem)

    def start(self) -> None:
        """Start the branches that are there, and the others when they come."""
        self._started = True
        for one in self._branches.values():
            one.start()

    def rest(self) -> None:
        """Rest all branches."""
        for one in self._branches.values():
            one.rest()

    def close(self) -> None:
        """Close all branches."""
        for one in self._branches.values():
            one.close()

    def _answered(self, completions: Sequence[str]) -> list[str | None]:
        """The completions, None in the place of those without an answer."""
        return [None if self.style.extract(one) is None else one for one in completions]

    def _branch(self, problem: Problem) -> Reward[Any]:
        """The reward of the problem's kind. Raises `UsageError` when there is none, or it isn't in [0, 1]."""
        kind = problem.kind
        if kind not in self.config.by_kind:
            raise UsageError(f"The reward `mixed` cannot score the problem `{problem.id}`: {self.refuses(problem)}.")
        if kind not in self._branches:
            choice = self.config.by_kind[kind]
            made = self.opens(choice)
            if made.low < self.low or made.high > self.high:
                raise UsageError(
                    f"`mixed.by_kind.{kind}` is `{choice.use}`, which gives {made.low:g} to {made.high:g}; a "
                    "branch gives 0 to 1, or one kind would outweigh the others. Choose another."
                )
            if self._started:
                made.start()
            self._branches[kind] = made
        return self._branches[kind]
