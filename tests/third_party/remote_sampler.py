"""A one-file plugin for tests: the sampler `remote`, with weights of its own, that misbehaves as it is told.

And the reward `even`, of which a policy with random weights gets some.
"""

import copy
import threading
from dataclasses import replace
from typing import Annotated, Literal

from pydantic import Field

from warmrl.api import NOT_SEMANTIC, Reward, RewardConfig, Sampler, SamplerConfig, ServiceError, hookimpl

DEADLINE = 0.05


class RemoteConfig(SamplerConfig):
    """What it leaves out, how far it is off, and what goes wrong."""

    tells: list[Literal["logprobs", "entropies"]] = ["logprobs"]
    """What it says of each token."""
    noise: float = 0.0
    """How far its log-probabilities are too low."""
    fault: Annotated[str, Field(json_schema_extra=NOT_SEMANTIC)] = ""
    """What goes wrong: a method of the sampler, or `stale`."""
    after: Annotated[int, Field(json_schema_extra=NOT_SEMANTIC)] = 0
    """How many blocks go well before."""
    rank: Annotated[int | None, Field(json_schema_extra=NOT_SEMANTIC)] = None
    """The one process in which it goes wrong."""


class Remote(Sampler[RemoteConfig]):
    """The sampler `transformers` on a copy of the policy, which takes its weights at every sync."""

    def __init__(self, config, processes):
        from warmrl_transformers.config import TransformersConfig
        from warmrl_transformers.sampler import Transformers

        super().__init__(config, processes)
        self.inner = Transformers(TransformersConfig(), processes)
        self.own = None
        self.answered = 0

    def sync(self, policy):
        from warmrl.engine.policy import Policy

        if self.own is None:
            self.own = Policy(copy.deepcopy(policy.model), policy.processor, policy.device)
        elif self.config.fault != "stale":
            self.own.model.load_state_dict(dict(policy.weights()), strict=False)
        self.inner.sync(self.own)

    def sample(self, requests):
        drawn = [[self.told(one) for one in group] for group in self.inner.sample(requests)]
        self.answered += 1
        if self.answered > self.config.after and self.config.rank in (None, self.processes.rank):
            getattr(self, self.config.fault, lambda _drawn: None)(drawn)
        return drawn

    def told(self, one):
        """A completion as far as this sampler tells of it."""
        logprobs = tuple(value - self.config.noise for value in one.logprobs)
        return replace(
            one,
            logprobs=logprobs if "logprobs" in self.config.tells else None,
            entropies=one.entropies if "entropies" in self.config.tells else None,
        )

    def dead(self, _drawn):
        raise ServiceError("The server of `remote` closed the connection.")

    def late(self, _drawn):
        if not threading.Event().wait(DEADLINE):
            raise ServiceError(f"The server of `remote` gave no answer within {DEADLINE} s.")

    def count(self, drawn):
        drawn[0].pop()

    def empty(self, drawn):
        drawn[0][0] = replace(drawn[0][0], tokens=(), logprobs=(), text="")

    def long(self, drawn):
        one = drawn[0][0]
        drawn[0][0] = replace(one, tokens=one.tokens * 100, logprobs=one.logprobs * 100)

    def uneven(self, drawn):
        drawn[0][0] = replace(drawn[0][0], logprobs=(*drawn[0][0].logprobs, -1.0))

    def nan(self, drawn):
        drawn[0][0] = replace(drawn[0][0], logprobs=(float("nan"), *drawn[0][0].logprobs[1:]))

    def positive(self, drawn):
        drawn[0][0] = replace(drawn[0][0], logprobs=(0.5, *drawn[0][0].logprobs[1:]))

    def aborted(self, drawn):
        drawn[0][0] = replace(drawn[0][0], finish="abort")

    def vision(self, drawn):
        drawn[0][0] = replace(drawn[0][0], tokens=(min(self.own.banned_ids), *drawn[0][0].tokens[1:]))

    def foreign(self, drawn):
        drawn[0][0] = replace(drawn[0][0], tokens=(10**6, *drawn[0][0].tokens[1:]))


class Even(Reward[RewardConfig]):
    """1 for completions with an even number of characters."""

    def score(self, problem, completions):
        return [float(len(text) % 2 == 0) for text in completions]


@hookimpl
def warmrl_register_samplers(register):
    register("remote", config=RemoteConfig, implementation=f"{__name__}:Remote")


@hookimpl
def warmrl_register_rewards(register):
    register("even", config=RewardConfig, implementation=f"{__name__}:Even")
