"""A stage's data as TRL's trainers read it: one row for each problem that the stage draws, made when it is asked for.

A policy with a processor is given TRL's text-and-images rows: the prompt as the chat template writes it with the answer
style's instruction, the answer with its end-of-sequence token. A language model is given TRL's tokenised rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa
from datasets import Dataset
from datasets.table import InMemoryTable

from warmrl.api import DataError, Group, Problem
from warmrl.engine.api import Stage
from warmrl_trl.config import Trainer, TRLConfig

# What a row calls its answers, the chosen one first.
SIDES: dict[Trainer, tuple[str, ...]] = {"sft": ("completion",), "dpo": ("chosen", "rejected"), "kto": ("completion",)}


def trained_on(stage: Stage, trainer: Trainer) -> list[Problem]:
    """The problems of a stage as a trainer takes them; for KTO each side is one of its own.

    Raises `DataError` when there are none, or some lack what the trainer needs.
    """
    if trainer == "kto":
        chosen = [replace(one, rejected=None) for one in stage.problems if one.solution is not None]
        found = chosen + [replace(one, solution=None) for one in stage.problems if one.rejected is not None]
        if not found:
            raise DataError(f"`stage.{stage.name}`: none of its problems has an answer to train on; check its `data`.")
        return found
    needs = ("solution", "rejected") if trainer == "dpo" else ("solution",)
    for side in needs:
        lacking = [one.id for one in stage.problems if getattr(one, side) is None]
        if lacking:
            raise DataError(
                f"`stage.{stage.name}` trains on {' and '.join(f'`{name}`' for name in needs)} of every problem, and "
                f"{len(lacking)} have no `{side}` (first: `{lacking[0]}`); give the data that column, or make it with "
                "a curator."
            )
    return list(stage.problems)


class Rows:
    """Steps of a stage as groups (for the engine) and rows (for TRL)."""

    def __init__(self, config: TRLConfig, stage: Stage) -> None:
        self.config, self.stage = config, stage
        self.pool = trained_on(stage, config.trainer)
        self._drawn: tuple[int, list[Problem]] = (-1, [])

    def problems(self, step: int) -> list[Problem]:
        """What step `step` trains on: the same draws as every method's."""
        if self._drawn[0] != step:
            self._drawn = step, self.stage.draw(step, self.pool)
        return self._drawn[1]

    def groups(self, step: int) -> list[Group]:
        """The same as groups of given answers, the chosen one first."""
        return [self.group(problem) for problem in self.problems(step)]

    def group(self, problem: Problem) -> Group:
        """A problem with the answers that are trained on."""
        both = (problem.solution, problem.rejected) if self.config.trainer != "sft" else (problem.solution,)
        return self.stage.given(problem, *(text for text in both if text is not None))

    def row(self, number: int) -> dict[str, Any]:
        """Row `number`, counted from the first step's first."""
        step, place = divmod(number, self.config.prompts_per_step)
        groups = self.groups(step)
        out = self.text(groups[place]) if self.sees else self.tokens(groups, place)
        if self.config.trainer == "kto":
            out["label"] = groups[place].problem.solution is not None
        return out

    @property
    def sees(self) -> bool:
        """Whether the policy has a processor of images."""
        return self.stage.policy.processor is not self.stage.policy.tokenizer

    def text(self, group: Group) -> dict[str, Any]:
        """A row of texts and images."""
        (view,), end = group.views, self.stage.policy.tokenizer.eos_token
        answers = zip(SIDES[self.config.trainer], group.completions, strict=True)
        images = [image.load() for image in group.problem.images]
        return {
            "prompt": self.stage.policy.rendered(view),
            "images": images,
            **{name: one.text + end for name, one in answers},
        }

    def tokens(self, groups: Sequence[Group], place: int) -> dict[str, Any]:
        """A row of token ids."""
        prompt = self.stage.policy.encode_prompt(groups[place].views[0]).ids.tolist()
        answers = [list(one.tokens) for one in groups[place].completions]
        if self.config.trainer == "sft":
            return {"input_ids": prompt + answers[0], "labels": [-100] * len(prompt) + answers[0]}
        named = zip(SIDES[self.config.trainer], answers, strict=True)
        out: dict[str, Any] = {"prompt_ids": prompt, **{f"{name}_ids": ids for name, ids in named}}
        if self.config.trainer == "kto":  # as TRL pairs them: with the answer before it in its pass
            first = place - place % self.config.rows_per_pass
            before = first + (place - first - 1) % self.config.rows_per_pass
            out["KL_completion_ids"] = list(groups[before].completions[0].tokens)
        return out

    def dataset(self, start: int, steps: int) -> Dataset:
        """The rows of steps `start` to `steps`, in order."""
        count = self.config.prompts_per_step
        return Made((steps - start) * count, lambda number: self.row(start * count + number))


class Made(Dataset):
    """TRL asks for a `Dataset`; the rows of this one are made when they are read, and kept nowhere."""

    def __init__(self, count: int, make: Callable[[int], dict[str, Any]]) -> None:
        super().__init__(InMemoryTable(pa.table({"row": range(count)})), fingerprint="warmrl")
        self.make = make

    def __getitem__(self, key: Any) -> Any:
        return self.make(int(key))

    def __getitems__(self, keys: Sequence[int]) -> list[dict[str, Any]]:
        return [self.make(int(key)) for key in keys]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self.make(number) for number in range(len(self)))
