"""Draws the answers of an evaluation that are missing, in fixed blocks, and fills in what is not known of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from warmrl.domain.errors import Interrupted, ServiceError
from warmrl.domain.group import Completion, Group
from warmrl.domain.sampler import Request
from warmrl.engine.passes import fill
from warmrl.engine.policy import Policy
from warmrl.engine.processes import Processes
from warmrl.engine.randomness import seed_of
from warmrl.engine.samples import Block, Cell, Draws, block_for, lacking_extras, missing, write_rows
from warmrl.engine.sampling import Sampling
from warmrl.engine.storage import storing, sync
from warmrl.engine.suites import Suite, asked

Draw = Callable[[Sequence[Request]], list[list[Completion]]]


@dataclass(frozen=True)
class Evaluation:
    """One checkpoint's answers to one suite under one way of drawing."""

    suite: Suite
    draws: Draws
    processes: Processes
    stopping: Callable[[], int]
    on_block: Callable[[int, int], None]

    def sample(self, sampling: Sampling, policy: Policy) -> None:
        """Make the blocks that are missing. Raises `Interrupted` between blocks.

        Raises `ServiceError` in all processes when it comes up in one; the finished blocks are kept.
        """
        work = self.processes.agree(missing(self.draws, self.suite))
        if work:
            try:
                with sampling.on(policy) as sample, self.processes.together():
                    self.each(work, lambda cells: self.make(cells, policy, sample))
            except ServiceError as error:
                raise ServiceError(
                    f"{error} Finished blocks of the evaluation are kept; the same command goes on."
                ) from None
        self.processes.wait()
        self.add_extras(policy)
        self.processes.wait()

    def add_extras(self, policy: Policy) -> None:
        """Per-token numbers that a metric reads, for blocks that lack them and have their tokens' ids."""
        lacking = lacking_extras(self.draws, self.suite)
        with policy.gathered():  # each process has blocks of its own
            self.each(self.processes.agree(lacking), lambda block: self.score(block, policy))

    def each(self, work: Sequence[Any], make: Callable[[Any], None]) -> None:
        """This process's share of the work."""
        for number, one in enumerate(work):
            if number % self.processes.world == self.processes.rank:
                make(one)
            self.on_block(number + 1, len(work))
            if signal := self.stopping():
                raise Interrupted(
                    f"Stopped by signal {signal} during an evaluation; finished blocks are kept, and the same "
                    "command goes on with the next one.",
                    128 + signal,
                )

    def make(self, cells: Sequence[Cell], policy: Policy, sample: Draw) -> None:
        """Draw one block, and keep it."""
        problems = [self.suite.problems[name] for name, *_ in cells]
        groups = [Group(one, [], (asked(one, self.suite.style),)) for one in problems]
        requests = [self.request(group, cell) for group, cell in zip(groups, cells, strict=True)]
        for group, completions in zip(groups, sample(requests), strict=True):
            group.completions = completions
        self.fill(policy, groups)
        block = block_for(self.draws.folder, cells, self.suite.prompts)
        rows = [
            row(name, self.suite.prompts[name], index, one)
            for (name, first, _), group in zip(cells, groups, strict=True)
            for index, one in enumerate(group.completions, first)
        ]
        self.keep_tokens(block, [one for group in groups for one in group.completions])
        write_rows(block.file, rows)

    def fill(self, policy: Policy, groups: Sequence[Group]) -> None:
        """Give completions the numbers that their sampler could not."""
        fill(policy, groups, extras=self.draws.extras, temperature=self.draws.temperature)

    def request(self, group: Group, cell: Cell) -> Request:
        """What the sampler is asked for one problem. A seed is a function of problem and index alone."""
        name, first, end = cell
        seeds = tuple(seed_of(self.draws.seed, "evaluation", name, index) for index in range(first, end))
        own = self.draws
        return Request(group.views[0], seeds, own.max_tokens, temperature=own.temperature, top_p=own.top_p)

    def keep_tokens(self, block: Block, completions: Sequence[Completion]) -> None:
        """Ids and numbers of every token, written before the rows that refer to them."""
        tensors = {
            "lengths": torch.tensor([len(one.tokens) for one in completions]),
            "ids": torch.tensor([token for one in completions for token in one.tokens], dtype=torch.int32),
            "logprobs": joined([one.logprobs or () for one in completions]),
            "entropies": joined([one.entropies or () for one in completions]),
        }
        save(tensors, block.tokens())
        for name in self.draws.extras:
            save({name: joined([one.signals[name] for one in completions])}, block.added(name))

    def score(self, block: Block, policy: Policy) -> None:
        """Numbers that were not asked for when the block was drawn."""
        kept = load_file(block.tokens())
        parts = [kept[name].split(kept["lengths"].tolist()) for name in ("ids", "logprobs", "entropies")]
        groups: dict[str, Group] = {}
        completions: list[Completion | None] = []
        for one, ids, logprobs, entropies in zip(block.rows, *parts, strict=True):
            problem = self.suite.problems.get(one["problem"])
            if problem is None or self.suite.prompts[problem.id] != one["prompt"]:
                completions.append(None)  # of another revision of the suite, or beyond its limit: nothing reads it
                continue
            group = groups.setdefault(problem.id, Group(problem, [], (asked(problem, self.suite.style),)))
            completion = Completion(tuple(ids.tolist()), one["completion"], finish=one["finish"])
            completion.logprobs, completion.entropies = tuple(logprobs.tolist()), tuple(entropies.tolist())
            completions.append(completion)
            group.completions.append(completion)
        self.fill(policy, list(groups.values()))
        for name in self.draws.extras:
            unknown = [(math.nan,) * length for length in kept["lengths"].tolist()]
            numbers = [gap if one is None else one.signals[name] for one, gap in zip(completions, unknown, strict=True)]
            save({name: joined(numbers)}, block.added(name))


def row(problem: str, prompt: str, index: int, one: Completion) -> dict[str, Any]:
    """A completion with the sums over its tokens, in nats."""
    return {
        "problem": problem,
        "prompt": prompt,
        "index": index,
        "completion": one.text,
        "finish": one.finish,
        "tokens": len(one.tokens),
        "entropy": None if one.entropies is None else float(sum(one.entropies)),
        "surprisal": None if one.logprobs is None else float(-sum(one.logprobs)),
    }


def joined(numbers: Sequence[Sequence[float]]) -> Tensor:
    """Numbers of all tokens, one after another."""
    return torch.tensor([float(value) for part in numbers for value in part], dtype=torch.float32)


def save(tensors: dict[str, Tensor], file: Path) -> None:
    """Write a safetensors file in one step."""
    aside = file.with_name(f".tmp-{file.name}")
    with storing(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, aside)
        sync(aside)
        aside.replace(file)
