"""The contract of samplers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest

from warmrl.domain.config import Config
from warmrl.domain.group import Completion
from warmrl.domain.problem import Message, Text
from warmrl.domain.sampler import Request, Sampler, SamplerConfig
from warmrl.testing.plugin import PluginContract


class SamplerContract(PluginContract):
    """One completion per seed, in order; a completion depends on its own seed and prompt, not on its neighbours."""

    kind: ClassVar[str] = "sampler"
    base: ClassVar[type] = Sampler
    config_base: ClassVar[type[Config]] = SamplerConfig
    questions: ClassVar[tuple[str, ...]] = ("area ?", "perimeter ?")
    """Questions that the policy's tokenizer can read."""
    max_tokens: ClassVar[int] = 12

    def processes(self) -> Any:
        """The processes of the run: this one alone."""
        from warmrl.engine.processes import Processes

        return Processes()

    def policy(self) -> Any:
        """The policy to sample from: the pocket's base by default."""
        from warmrl.engine.checkpoints import find
        from warmrl.engine.policy import Policy

        return Policy.load(find("pocket:base", None, self.registry()), trained=False)

    @pytest.fixture(scope="class")
    def sampler(self) -> Iterator[Any]:
        """The sampler under test, closed afterwards."""
        sampler = self.registration().load()(self.config(), self.processes())
        assert isinstance(sampler.shares_weights, bool)
        sampler.sync(self.policy())
        yield sampler
        sampler.rest()
        sampler.close()

    def request_of(self, question: str, *seeds: int, temperature: float = 1.0) -> Request:
        """A request for one completion per seed."""
        return Request((Message("user", (Text(question),)),), seeds, self.max_tokens, temperature)

    def test_one_completion_per_seed(self, sampler: Any) -> None:
        requests = [self.request_of(q, *range(10 * i, 10 * i + 3)) for i, q in enumerate(self.questions)]
        drawn = sampler.sample(requests)
        assert [len(one) for one in drawn] == [3] * len(requests)
        for completion in (one for group in drawn for one in group):
            assert isinstance(completion, Completion)
            assert 0 < len(completion.tokens) <= self.max_tokens
            assert completion.finish in ("stop", "length")
            assert completion.finish == "stop" or len(completion.tokens) == self.max_tokens
            if completion.logprobs is not None:
                assert len(completion.logprobs) == len(completion.tokens)
                assert all(math.isfinite(value) and value <= 1e-6 for value in completion.logprobs)
            if completion.entropies is not None:
                assert len(completion.entropies) == len(completion.tokens)
                assert all(math.isfinite(value) and value >= -1e-6 for value in completion.entropies)

    def test_nothing_asked_nothing_drawn(self, sampler: Any) -> None:
        assert sampler.sample([]) == []

    def test_the_same_seeds_the_same_tokens(self, sampler: Any) -> None:
        requests = [self.request_of(question, 1, 2) for question in self.questions]
        tokens = [[one.tokens for one in group] for group in sampler.sample(requests)]
        assert tokens == [[one.tokens for one in group] for group in sampler.sample(requests)]

    def test_neighbours_do_not_matter(self, sampler: Any) -> None:
        together = sampler.sample([self.request_of(question, 1, 2, 3) for question in self.questions])
        alone = [sampler.sample([self.request_of(question, 2)])[0][0] for question in self.questions]
        assert [group[1].tokens for group in together] == [one.tokens for one in alone]

    def test_greedy_ignores_seeds(self, sampler: Any) -> None:
        (drawn,) = sampler.sample([self.request_of(self.questions[0], 1, 2, temperature=0.0)])
        assert drawn[0].tokens == drawn[1].tokens

    def gap(self, policy: Any, groups: list[list[Completion]]) -> float:
        """The mean difference (nats) of what the sampler says of its tokens to what a policy says of them."""
        from warmrl.domain.group import Group
        from warmrl.domain.problem import Problem
        from warmrl.engine.agreement import compared

        if any(one.logprobs is None for group in groups for one in group):
            pytest.skip("it gives no log-probabilities: it can evaluate a policy, and not train one")
        prompts = [self.request_of(question).messages for question in self.questions]
        asked = [Problem(str(number), prompt, "") for number, prompt in enumerate(prompts)]
        _, text = compared(policy, [Group(*pair) for pair in zip(asked, groups, strict=True)], self.processes())
        assert text.tokens == sum(len(one.tokens) for group in groups for one in group)
        return text.mean

    def test_its_weights_are_the_policys_after_every_sync(self, sampler: Any) -> None:
        """Its log-probabilities are those of the policy that it was given last, whose weights may have changed."""
        import torch

        limit = self.config().max_gap or 1e-3
        policy, requests = self.policy(), [self.request_of(question, 1, 2, 3) for question in self.questions]
        sampler.sync(policy)
        before = sampler.sample(requests)
        assert self.gap(policy, before) <= limit
        sampler.rest()
        draw = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in policy.model.parameters():
                noise = torch.randn(parameter.shape, generator=draw).to(parameter)
                parameter.add_(0.3 * parameter.float().std(correction=0).to(parameter) * noise)
        assert self.gap(policy, before) > 3 * limit, "the weights changed too little for this test to say anything"
        sampler.sync(policy)
        assert self.gap(policy, sampler.sample(requests)) <= limit
