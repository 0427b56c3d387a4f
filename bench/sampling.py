"""With real sampling: a whole GRPO step against TRL's, and the sampler alone against `generate`.

Random weights say nothing of when to stop, so lengths are canned: warmrl's requests each have their own limit, and
`generate` gets a processor that bans the end before a completion's length and forces it there.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

from warmrl_transformers.config import TransformersConfig
from warmrl_transformers.sampler import Transformers

from bench.compare import Case, Cost, time_all
from bench.contenders import MATCHED, PACKED
from bench.contenders.packed import Packed
from bench.lengths import Lengths
from bench.shapes import Subject
from bench.workloads import W1, Canned, Workload, canned, conversation, describe
from warmrl.domain.group import Group
from warmrl.domain.sampler import Request
from warmrl.engine.advantage import group_advantages
from warmrl.engine.policy import Policy

# 64 prompts x 8, at a quarter of W1's lengths: `generate` alone would take minutes otherwise.
MANY = Workload("sampler", image=100, text=60, mean=100, cap=256, groups=64, answers=8)
GENERATE = "generate, num_return_sequences"


# W1 with eight prompts: with two, a step is 255 tiny decoding steps, whose overhead no peer is free of.
STEP = replace(W1, groups=8)


class Endless(Policy):
    """A policy for which no token ends a completion: its limit does."""

    stop_ids = frozenset({-1})  # type: ignore[assignment]


def sampled(policy: Policy, rollouts: Canned) -> list[Group]:
    """warmrl's sampler on the rollouts' prompts, each completion as long as its canned one."""
    requests = [
        Request(problem.messages, (1000 * number + i,), len(answer))
        for number, (problem, group) in enumerate(zip(rollouts.problems, rollouts.answers, strict=True))
        for i, answer in enumerate(group)
    ]
    sampler = Transformers(TransformersConfig(), None)
    sampler.sync(policy)
    drawn = iter(sampler.sample(requests))
    pairs = zip(rollouts.problems, rollouts.answers, strict=True)
    return [Group(problem, [one for _ in answers for one in next(drawn)]) for problem, answers in pairs]


class PackedStep(Packed):
    """warmrl's step: sampling with the policy's own weights, canned rewards, the update."""

    def make_policy(self) -> Policy:
        return Endless(self.model, self.subject.processor, self.subject.device)

    def groups(self) -> Sequence[Group]:
        groups = sampled(self.policy, self.rollouts)
        for group, rewards in zip(groups, self.rollouts.rewards, strict=True):
            for one, advantage in zip(group.completions, group_advantages(rewards), strict=True):
                one.signals["advantage"] = advantage
        return groups


def step(settings: Any) -> Case:
    """A whole GRPO step of W1's lengths, with each side's own sampling (`generate` in TRL's default, without vLLM)."""
    subject = settings.shape.build(STEP, settings.scale, 1)
    rollouts = canned(STEP, subject.words, settings.scale)
    contenders: list[Any] = [PackedStep(subject, rollouts)]
    if find_spec("trl"):
        from bench.contenders.trl_trainers import GRPOStep

        contenders.append(GRPOStep(subject, rollouts))
    what = f"real sampling and training, {describe(rollouts)}; the draws differ, the lengths do not"
    case = raced("GRPO step", what, contenders, settings, subject.device)
    case.ask("time, TRL / warmrl", PACKED, MATCHED, lambda c: c.best, 3.0, "time")
    return case


def sampler(settings: Any) -> Case:
    """The sampler alone against `generate` on 64 prompts x 8."""
    subject = settings.shape.build(MANY, settings.scale, 1)
    rollouts = canned(MANY, subject.words, settings.scale)
    contenders = [PackedSampler(subject, rollouts), Generate(subject, rollouts)]
    case = raced("sampler", f"sampling alone, {describe(rollouts)}", contenders, settings, subject.device)
    case.ask("sampled tokens/s, warmrl / generate", PACKED, GENERATE, lambda c: c.best, 2.0, "time")
    return case


def raced(name: str, what: str, contenders: Sequence[Any], settings: Any, device: str) -> Case:
    """A case of times alone: what is drawn differs between contenders, so there is no gradient to compare."""
    case = Case(name, what)
    for one in contenders:
        case.costs.append(Cost(one.name, one.about, rollouts=one.rollouts.rollouts, trained=one.rollouts.trained))
    time_all(case, contenders, settings.repeats, device)
    return case


class PackedSampler:
    """warmrl's sampler `transformers`: tokens with their log-probability and entropy."""

    name, about = PACKED, "one prefill a prompt, finished completions dropped; log-probabilities and entropies kept"

    def __init__(self, subject: Subject, rollouts: Canned) -> None:
        self.policy = Endless(deepcopy(subject.model), subject.processor, subject.device)
        self.rollouts = rollouts

    def update(self) -> None:
        """Sample everything."""
        self.policy.prompts.clear()
        sampled(self.policy, self.rollouts)


class Generate:
    """`generate` of transformers, all prompts in one batch."""

    name, about = GENERATE, "tokens alone"

    def __init__(self, subject: Subject, rollouts: Canned) -> None:
        self.model, self.processor = deepcopy(subject.model).to(subject.device), subject.processor
        self.rollouts, self.end = rollouts, subject.words.end

    def update(self) -> None:
        """Sample everything."""
        chats = [conversation(problem) for problem in self.rollouts.problems]
        given = self.processor.apply_chat_template(
            chats, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt", padding=True
        ).to(self.model.device)
        lengths = [len(answer) for group in self.rollouts.answers for answer in group]
        out = self.model.generate(
            **given, do_sample=True, top_k=0, num_return_sequences=len(self.rollouts.answers[0]),
            max_new_tokens=max(lengths), logits_processor=[Lengths(lengths, self.end)],
        )  # fmt: skip
        ended = (out[:, given["input_ids"].shape[1] :] == self.end).int().argmax(1) + 1
        assert ended.tolist() == lengths
