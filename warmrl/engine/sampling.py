"""Sampling in fixed blocks of prompts: the atomic unit of redoing, shared out over the processes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from warmrl.domain.config import Choice
from warmrl.domain.errors import ServiceError
from warmrl.domain.group import Completion, Group
from warmrl.domain.problem import Problem
from warmrl.domain.sampler import Request, Sampler, SamplerConfig
from warmrl.engine.policy import Policy
from warmrl.engine.processes import Processes
from warmrl.engine.randomness import seed_of
from warmrl.plugin.registry import Registry

# How far rounding may bring a log-probability above zero, or an entropy below it.
ROUNDING = 1e-3


def blocks_of(count: int, size: int) -> list[range]:
    """Fixed blocks over `count` prompts."""
    return [range(start, min(start + size, count)) for start in range(0, count, size)]


class Sampling:
    """The run's sampler, made when it is first needed, on whichever policy is asked for."""

    def __init__(self, choice: Choice, registry: Registry, processes: Processes) -> None:
        self.choice, self.registry, self.processes = choice, registry, processes

    @cached_property
    def sampler(self) -> Sampler[Any]:
        """The recipe's sampler."""
        return self.registry.instance(self.choice, self.processes)

    @property
    def config(self) -> SamplerConfig:
        """The sampler's settings, without making it."""
        assert isinstance(self.choice.config, SamplerConfig)
        return self.choice.config

    @cached_property
    def shares_weights(self) -> bool:
        """Whether it samples with the policy's own model."""
        return bool(self.registry.get(self.choice.kind, self.choice.use).load().shares_weights)

    @property
    def block_size(self) -> int:
        """Prompts sampled together."""
        return self.config.block_size

    @contextmanager
    def on(self, policy: Policy) -> Iterator[Callable[[Sequence[Request]], list[list[Completion]]]]:
        """What samples from a policy as it is now; its answers are checked."""
        self.sampler.sync(policy)
        try:
            yield lambda requests: checked(self.sampler.sample(requests), requests, self.choice.use, policy)
        finally:
            self.sampler.rest()

    def groups(
        self,
        policy: Policy,
        groups: Sequence[Group],
        samples: int,
        seed: Callable[[Problem, int], int],
        **sampling: Any,
    ) -> list[Group]:
        """Fill `groups` with `samples` completions each of their first view; every process ends with all of them.

        Raises `ServiceError` in all processes when it comes up in one.
        """
        mine: list[tuple[int, list[list[Completion]]]] = []
        with self.on(policy) as sample, self.processes.together():
            for number, block in enumerate(blocks_of(len(groups), self.block_size)):
                if number % self.processes.world == self.processes.rank:
                    requests = [request(groups[i], samples, seed, **sampling) for i in block]
                    mine.append((block.start, sample(requests)))
                    if policy.counter:
                        policy.counter.sampled([policy.encode_prompt(one.messages) for one in requests], mine[-1][1])
        for start, drawn in self.processes.gather(mine):
            for offset, completions in enumerate(drawn):
                groups[start + offset].completions = completions
        return list(groups)

    def close(self) -> None:
        """Release the sampler, if there is one."""
        if "sampler" in self.__dict__:
            self.sampler.close()


def checked(
    drawn: list[list[Completion]], requests: Sequence[Request], use: str, policy: Policy
) -> list[list[Completion]]:
    """What a sampler gave, if it is what was asked for. Raises `ServiceError`: nothing is trained on less."""
    asked_for, given = [len(one.seeds) for one in requests], [len(one) for one in drawn]
    if asked_for != given:
        raise ServiceError(
            f"The sampler `{use}` gave {given[:8]} completions for the prompts of a block, and {asked_for[:8]} were "
            "asked for; nothing was trained on them."
        )
    for one, completions in zip(requests, drawn, strict=True):
        for completion in completions:
            reason = wrong(completion, one.max_tokens, policy)
            if reason:
                raise ServiceError(f"The sampler `{use}` gave a completion {reason}; nothing was trained on it.")
    return drawn


def wrong(completion: Completion, longest: int, policy: Policy) -> str | None:
    """What is wrong with a completion; None when nothing is."""
    count, vocabulary = len(completion.tokens), policy.packed.head_weight.shape[0]
    if not 0 < count <= longest:
        return f"of {count} tokens, and 1 to {longest} were asked for"
    if not all(0 <= token < vocabulary for token in completion.tokens):
        return f"with a token that is none of the policy's {vocabulary}"
    if not policy.banned_ids.isdisjoint(completion.tokens):
        return "with a token that stands for vision input"
    if completion.finish not in ("stop", "length"):
        return f"that finished by `{completion.finish}`, which is neither `stop` nor `length`"
    for name, values, sign in (("log-probabilities", completion.logprobs, -1), ("entropies", completion.entropies, 1)):
        if values is None:
            continue
        if len(values) != count:
            return f"of {count} tokens with {len(values)} {name}"
        if not all(math.isfinite(value) and sign * value >= -ROUNDING for value in values):
            return f"whose {name} are not all finite numbers {'above' if sign > 0 else 'below'} zero"
    return None


def request(group: Group, samples: int, seed: Callable[[Problem, int], int], **sampling: Any) -> Request:
    """What a sampler is asked for one group."""
    seeds = tuple(seed(group.problem, index) for index in range(samples))
    return Request(group.views[0], seeds, **sampling)


def completion_seed(*parts: str | int) -> Callable[[Problem, int], int]:
    """Seeds of completions: (what for, problem id, sample index)."""
    return lambda problem, index: seed_of(*parts, problem.id, index)
