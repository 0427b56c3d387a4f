"""A suite: a dataset with the style in which it is asked and the graders that judge it. No torch."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from warmrl.domain.answer import AnswerStyle
from warmrl.domain.config import Choice
from warmrl.domain.dataset import Dataset, DatasetConfig
from warmrl.domain.problem import Image, Message, Problem, Text
from warmrl.domain.recipe import Recipe
from warmrl.plugin.registry import Registry


def asked(problem: Problem, style: AnswerStyle | None) -> tuple[Message, ...]:
    """The problem's prompt with the answer style's instruction after the question; without a style, as it is."""
    instruction = "" if style is None else style.instruction()
    if not instruction:
        return problem.messages
    *before, last = problem.messages
    return (*before, Message(last.role, (*last.parts, Text("\n" + instruction))))


def content(messages: Sequence[Message]) -> str:
    """What identifies a prompt: roles, texts and pixels, in order (64 bits of SHA-256)."""
    parts = [
        part
        for message in messages
        for part in (message.role, *(one.key if isinstance(one, Image) else one.text for one in message.parts), "")
    ]
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:16]


@dataclass(frozen=True)
class Suite:
    """Problems that a checkpoint is measured on. `graders`: the one whose verdict counts, then the second opinion."""

    name: str
    choice: Choice
    dataset: Dataset[Any]
    style_choice: Choice
    style: AnswerStyle[Any]
    graders: tuple[Choice, ...]

    @cached_property
    def problems(self) -> dict[str, Problem]:
        """Problems by id, in the dataset's order."""
        return {problem.id: problem for problem in self.dataset.problems()}

    @cached_property
    def prompts(self) -> Mapping[str, str]:
        """What is asked, by problem id: samples of anything else are not this suite's."""
        return {name: content(asked(problem, self.style)) for name, problem in self.problems.items()}

    @cached_property
    def revision(self) -> str:
        """What identifies questions and right answers together."""
        golds = (f"{name}\0{self.prompts[name]}\0{problem.gold}" for name, problem in self.problems.items())
        return hashlib.sha256("\n".join(sorted(golds)).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def suite_of(name: str, recipe: Recipe, dataset: Dataset[Any], registry: Registry) -> Suite:
    """A `[suite.*]` (or `[data.*]`) table as the recipe has it, its grader and style where the table names none."""
    choice = recipe.suite.get(name) or recipe.data[name]
    config = choice.config
    assert isinstance(config, DatasetConfig)
    style = config.style or recipe.answer
    first, second = config.grader or recipe.grader, config.second_opinion or recipe.second_opinion
    graders = (first,) if second in (None, first) else (first, second)
    return Suite(name, choice, dataset, style, registry.instance(style), graders)  # type: ignore[arg-type]
