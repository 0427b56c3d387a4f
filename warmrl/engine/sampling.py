"""Sampling in fixed blocks of prompts: the atomic unit of redoing, shared out over the processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from warmrl.domain.answer import AnswerStyle
from warmrl.domain.group import Completion, Group
from warmrl.domain.problem import Message, Problem, Text
from warmrl.domain.sampler import Request, Sampler, SamplerConfig
from warmrl.engine.processes import Processes
from warmrl.engine.randomness import seed_of


def asked(problem: Problem, style: AnswerStyle) -> tuple[Message, ...]:
    """The problem's prompt with the answer style's instruction after the question."""
    instruction = style.instruction()
    if not instruction:
        return problem.messages
    *before, last = problem.messages
    return (*before, Message(last.role, (*last.parts, Text("\n" + instruction))))


def blocks_of(count: int, size: int) -> list[range]:
    """Fixed blocks over `count` prompts."""
    return [range(start, min(start + size, count)) for start in range(0, count, size)]


def sample_groups(
    sampler: Sampler[Any],
    groups: Sequence[Group],
    samples: int,
    seed: Callable[[Problem, int], int],
    processes: Processes,
    **sampling: Any,
) -> list[Group]:
    """Fill `groups` with `samples` completions each of their first view; every process ends with all of them."""
    config = sampler.config
    assert isinstance(config, SamplerConfig)
    mine: list[tuple[int, list[list[Completion]]]] = []
    for number, block in enumerate(blocks_of(len(groups), config.block_size)):
        if number % processes.world == processes.rank:
            requests = [request(groups[i], samples, seed, **sampling) for i in block]
            mine.append((block.start, sampler.sample(requests)))
    for start, drawn in processes.gather(mine):
        for offset, completions in enumerate(drawn):
            groups[start + offset].completions = completions
    return list(groups)


def request(group: Group, samples: int, seed: Callable[[Problem, int], int], **sampling: Any) -> Request:
    """What a sampler is asked for one group."""
    seeds = tuple(seed(group.problem, index) for index in range(samples))
    return Request(group.views[0], seeds, **sampling)


def completion_seed(*parts: str | int) -> Callable[[Problem, int], int]:
    """Seeds of completions: (what for, problem id, sample index)."""
    return lambda problem, index: seed_of(*parts, problem.id, index)
