"""Grades answers: every grader of a suite on every answer that it has not judged yet. No torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from warmrl.domain.answer import AnswerStyle
from warmrl.domain.config import Choice
from warmrl.domain.errors import Interrupted, WarmrlError
from warmrl.domain.problem import Problem
from warmrl.domain.reward import Reward
from warmrl.domain.sample import Grade
from warmrl.engine.checkpoints import find
from warmrl.engine.keys import semantic
from warmrl.engine.samples import Block, Draws, blocks, write_rows
from warmrl.engine.storage import canonical
from warmrl.engine.suites import Suite
from warmrl.plugin.registry import Registry

Task = tuple[Block, Choice, str]
"""A block, who is to judge it, and the key of the verdicts."""


def grades_key(choice: Choice, suite: Suite, registry: Registry) -> str:
    """What identifies a grader's verdicts: its settings and the style."""
    text = canonical([semantic(choice, registry), semantic(suite.style_choice, registry)])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def right_answer(problem: Problem) -> str:
    """What a verdict depends on beside the answer: the gold, and whatever else a grader may read of the problem."""
    text = json.dumps([problem.gold, problem.kind, problem.extra], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def lacking(draws: Draws, suite: Suite, registry: Registry) -> list[Task]:
    """The blocks that a grader of the suite has not judged, or not by the right answers as they are now."""
    golds = {name: right_answer(problem) for name, problem in suite.problems.items()}
    keys = [(one, grades_key(one, suite, registry)) for one in suite.graders]
    return [(b, one, key) for b in blocks(draws.folder) for one, key in keys if not judged_by(b, key, golds)]


def judged_by(block: Block, key: str, golds: Mapping[str, str]) -> bool:
    """Whether a grader's verdicts on a block are there for every problem that the suite has now."""
    if not block.grades(key).exists():
        return False
    pairs = zip(block.rows, block.graded(key), strict=True)
    return all(golds.get(row["problem"]) in (None, grade.get("right_answer")) for row, grade in pairs)


def open_reward(
    choice: Choice, style: AnswerStyle[Any], registry: Registry, folder: Path, *, allow_code: bool = False
) -> Reward[Any]:
    """A reward that is ready to score; `folder` is the store, where a teacher that it asks keeps its replies.

    Rewards that it chooses itself are opened in the same way. `allow_code`: a model repository's own code may run.
    """
    reward = registry.instance(choice, style)
    # A teacher is made for a stage. An extractor or a judge has none, so this stands for one: constants for its seeds,
    # the place of its cache, prompts as they are, and each process for itself.
    alone = SimpleNamespace(
        world=1, rank=0, first=True, gather=list, agree=lambda value: value, wait=lambda: None, together=nullcontext
    )
    own = {
        "name": "grader", "seed": 0, "folder": folder / "grader", "processes": alone, "style": None, "policy": None,
        "work": SimpleNamespace(by_server=lambda _tokens: None),  # a grader's questions are no stage's work
        "allow_code": allow_code, "located": lambda path, revision: Path(find(path, revision, registry).path),
    }  # fmt: skip

    def opens(chosen: Choice) -> Any:
        if chosen.kind == "reward":
            return open_reward(chosen, style, registry, folder, allow_code=allow_code)
        return registry.instance(chosen, SimpleNamespace(**own))

    reward.opens = opens
    return reward


class Graders:
    """The graders of a run, each made when it is first needed."""

    def __init__(self, registry: Registry, store: Path, *, allow_code: bool = False) -> None:
        self.registry, self.store, self.allow_code = registry, store, allow_code
        self._made: list[tuple[Choice, Choice, Reward[Any]]] = []

    def get(self, choice: Choice, suite: Suite) -> Reward[Any]:
        """A suite's grader; one that was made for another suite of the same style serves again."""
        for known, style, reward in self._made:
            if (known, style) == (choice, suite.style_choice):
                return reward
        reward = open_reward(choice, suite.style, self.registry, self.store, allow_code=self.allow_code)
        self._made.append((choice, suite.style_choice, reward))
        return reward

    def grade(
        self,
        work: Sequence[Task],
        suite: Suite,
        stopping: Callable[[], int],
        on_block: Callable[[int, int], None],
    ) -> None:
        """Judge these blocks. Raises `Interrupted` between two of them, `WarmrlError` for what is no grade."""
        for number, (block, choice, key) in enumerate(work):
            write_rows(block.grades(key), list(self.judged(block, choice, suite)))
            self.get(choice, suite).rest()
            on_block(number + 1, len(work))
            if signal := stopping():
                raise Interrupted(
                    f"Stopped by signal {signal} while answers were graded; finished blocks are kept, and the same "
                    "command goes on with the next one.",
                    128 + signal,
                )

    def judged(self, block: Block, choice: Choice, suite: Suite) -> Iterator[dict[str, Any]]:
        """One grader's row for each answer of a block; of a problem that the suite no longer has, an empty one."""
        grader = self.get(choice, suite)
        texts: dict[str, list[str]] = {}
        for row in block.rows:
            texts.setdefault(row["problem"], []).append(row["completion"])
        grades = {
            name: iter(checked(choice.use, grader, grader.grade(suite.problems[name], own), own, name))
            for name, own in texts.items()
            if name in suite.problems
        }
        golds = {name: right_answer(suite.problems[name]) for name in grades}
        for row in block.rows:
            if row["problem"] not in grades:
                yield {}
                continue
            yield {
                **asdict(next(grades[row["problem"]])),
                "well_formed": suite.style.well_formed(row["completion"]),
                "right_answer": golds[row["problem"]],
            }

    def close(self) -> None:
        """Stop worker processes."""
        for *_, reward in self._made:
            reward.close()
        self._made.clear()


def checked(use: str, grader: Reward[Any], grades: list[Grade], texts: Sequence[str], problem: str) -> list[Grade]:
    """Refuse what would silently spoil a score."""
    if len(grades) != len(texts):
        raise WarmrlError(f"The grader `{use}` gave {len(grades)} grades for {len(texts)} answers to `{problem}`.")
    for one in grades:
        if not grader.low <= one.score <= grader.high:  # NaN too
            raise WarmrlError(
                f"The grader `{use}` gave {one.score} for an answer to `{problem}`, outside its declared range "
                f"[{grader.low}, {grader.high}]."
            )
    return grades
