"""Passes that only score: log-probabilities of given tokens under a policy, through the same packed forward."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from warmrl.domain.group import Completion, Group
from warmrl.engine.policy import Policy
from warmrl.engine.processes import Processes
from warmrl.engine.sharding import reshard
from warmrl.packed.distribution import entropy_at, nucleus_size
from warmrl.packed.head import Extras
from warmrl.packed.plan import EncodedGroup, plan

# Most tokens in one forward pass that only scores, where no recipe says how many.
TOKEN_BUDGET = 16384
# What `fill` can say of each token besides its log-probability and entropy.
EXTRAS = frozenset({"nucleus", "entropy_sampling"})


def score_tokens(policy: Policy, groups: Sequence[Group], processes: Processes, token_budget: int, signal: str) -> None:
    """Write the log-probability of every trained token under `policy` into `signals[signal]` (0 elsewhere)."""
    mine = scored(policy, groups, token_budget, processes.accelerator.autocast, processes.world, processes.rank)
    for group, answer, at, numbers in processes.gather(list(mine)):
        completion = groups[group].completions[answer]
        completion.signals[signal] = torch.zeros(len(completion.tokens))
        completion.signals[signal][at] = torch.tensor(numbers["logprob"])


def fill(
    policy: Policy,
    groups: Sequence[Group],
    processes: Processes | None = None,
    token_budget: int = TOKEN_BUDGET,
    extras: Collection[str] = frozenset(),
    temperature: float = 1.0,
) -> None:
    """Give completions the log-probabilities and entropies that their sampler could not, as `policy` has them.

    `extras` are written into `signals`, a tuple with a number for each token. They are computed a few tokens at a
    time, in the same pass.

    Args:
        policy: The policy that they were sampled from.
        groups: The completions; those that have everything are left alone, and nothing that is known is changed.
        processes: Who shares the work, each with all of the groups; None: this process alone, for groups of its own.
        token_budget: Most tokens in one pass.
        extras: Of `EXTRAS`: `nucleus` is the size of the top-p 0.95 nucleus at temperature 1, in tokens, and
            `entropy_sampling` the entropy at `temperature`, nats (at temperature 1 it is the entropy itself).
        temperature: The temperature that they were sampled at; 0 is greedy.

    Raises ValueError for an extra that there is not, and for a temperature below 0.
    """
    measures = measures_of(extras, temperature)
    lacking = [g for g in groups if any(one.tokens and lacks(one, measures) for one in g.completions)]
    if lacking:
        whole = [replace(g, completions=[replace(c, train=None) for c in g.completions]) for g in lacking]
        ranks, rank = (processes.world, processes.rank) if processes else (1, 0)
        mine = list(scored(policy, whole, token_budget, policy.autocast, ranks, rank, measures))
        for group, answer, _, numbers in processes.gather(mine) if processes else mine:
            keep(lacking[group].completions[answer], numbers)
    for one in (one for group in groups for one in group.completions):
        if not one.tokens:
            keep(one, {name: [] for name in ("logprob", "entropy", *extras)})
        if "entropy_sampling" in extras and temperature == 1:
            one.signals.setdefault("entropy_sampling", one.entropies)


def measures_of(extras: Collection[str], temperature: float) -> Extras:
    """The functions of a token's distribution behind `extras`; the entropy at temperature 1 is no work of its own."""
    if unknown := sorted(set(extras) - EXTRAS):
        raise ValueError(f"no pass computes {', '.join(unknown)}; there are: {', '.join(sorted(EXTRAS))}")
    if temperature < 0:
        raise ValueError(f"a temperature is not below 0; this is {temperature}")
    known: Extras = {"nucleus": nucleus_size, "entropy_sampling": partial(entropy_at, temperature=temperature)}
    return {name: known[name] for name in sorted(extras) if name != "entropy_sampling" or temperature != 1}


def lacks(one: Completion, measures: Collection[str]) -> bool:
    """Whether a number is not known of a completion's tokens."""
    return None in (one.logprobs, one.entropies) or any(name not in one.signals for name in measures)


def keep(one: Completion, numbers: Mapping[str, Sequence[float]]) -> None:
    """Write per-token numbers where there are none."""
    one.logprobs = tuple(numbers["logprob"]) if one.logprobs is None else one.logprobs
    one.entropies = tuple(numbers["entropy"]) if one.entropies is None else one.entropies
    for name in EXTRAS & numbers.keys():
        values = (int(value) for value in numbers[name]) if name == "nucleus" else numbers[name]
        one.signals.setdefault(name, tuple(values))


@torch.no_grad()
def scored(
    policy: Policy,
    groups: Sequence[Group],
    token_budget: int,
    precision: Callable[[], AbstractContextManager[Any]],
    ranks: int = 1,
    rank: int = 0,
    extras: Extras | None = None,
) -> Iterator[tuple[int, int, list[int], dict[str, list[float]]]]:
    """One process's share of a scoring pass: the same packed forward as training.

    Yields:
        Group, completion, the places of its n trained tokens, and of each of them `logprob`, `entropy` (nats) and
        the extras.
    """
    encoded = [bare(policy.encode_group(group)) for group in groups]
    for rows in plan(encoded, token_budget=token_budget, ranks=ranks, share=policy.packed.share):
        row = rows[rank].to(policy.device)
        with precision():
            output = policy.packed(row, None, extras=extras)
        if row.is_dummy:
            continue
        if policy.counter:
            policy.counter.scored(rows[rank])
        columns = {"logprob": output.logprob, "entropy": output.entropy, **output.extras}
        table = torch.stack([row.owner[:, 2].double(), *(column.double() for column in columns.values())], 1)
        for group, answer, part in row.by_answer(table.cpu()):
            places, *values = part.t().tolist()
            yield group, answer, [int(place) for place in places], dict(zip(columns, values, strict=True))
    reshard(policy.root)


def bare(group: EncodedGroup) -> EncodedGroup:
    """The same group without columns."""
    return EncodedGroup(group.prompts, tuple(type(a)(a.ids, a.view, a.train) for a in group.answers))


@torch.no_grad()
def hidden_states(
    policy: Policy,
    groups: Sequence[Group],
    mine: Collection[tuple[int, int]],
    processes: Processes,
    token_budget: int,
    signal: str,
) -> None:
    """Write the hidden states `[C, H]` that predict each trained token into `signals[signal]` (0 elsewhere).

    They are large, so each process computes those that it trains on and no others.

    Args:
        policy: Whose hidden states.
        groups: The completions.
        mine: Which of them, by (group, completion), as `Stage.mine` says; the others get NaN, which no update takes.
        processes: This process among the others, for the precision.
        token_budget: Most tokens in one pass.
        signal: Where to write them.
    """
    encoded = [only(bare(policy.encode_group(group)), index, mine) for index, group in enumerate(groups)]
    with policy.gathered():  # as many rows as there are here, which another process doesn't wait for
        nothing = policy.packed.head_weight.new_full((1, policy.packed.head_weight.shape[1]), torch.nan)
        for group in groups:
            for completion in group.completions:
                completion.signals[signal] = nothing.expand(len(completion.tokens), -1)
        for (row,) in plan(encoded, token_budget=token_budget, share=policy.packed.share):
            if policy.counter:
                policy.counter.scored(row)
            row = row.to(policy.device)
            with processes.accelerator.autocast():
                states = policy.packed.hidden(row)
            places = row.owner[:, 2]
            at = 0
            for index, answer, part in row.by_answer(states):
                completion = groups[index].completions[answer]
                kept = part.new_zeros(len(completion.tokens), part.shape[1])
                kept[places[at : at + len(part)]] = part
                completion.signals[signal] = kept
                at += len(part)


def only(group: EncodedGroup, index: int, mine: Collection[tuple[int, int]]) -> EncodedGroup:
    """The group with nothing to score in completions that are not `mine`."""
    answers = (
        a if (index, number) in mine else replace(a, train=torch.zeros_like(a.train))
        for number, a in enumerate(group.answers)
    )
    return EncodedGroup(group.prompts, tuple(answers))
