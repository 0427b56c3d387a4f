"""Passes that only score: log-probabilities of given tokens under a policy, through the same packed forward."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import torch

from warmrl.domain.group import Group
from warmrl.engine.policy import Policy
from warmrl.engine.processes import Processes
from warmrl.engine.sharding import reshard
from warmrl.packed.plan import EncodedGroup, plan

# Most tokens in one forward pass that only scores, where no recipe says how many.
TOKEN_BUDGET = 16384


def score_tokens(policy: Policy, groups: Sequence[Group], processes: Processes, token_budget: int, signal: str) -> None:
    """Write the log-probability of every trained token under `policy` into `signals[signal]` (0 elsewhere)."""
    mine = scored(policy, groups, token_budget, processes.accelerator.autocast, processes.world, processes.rank)
    for group, answer, at, values, _ in processes.gather(list(mine)):
        completion = groups[group].completions[answer]
        completion.signals[signal] = torch.zeros(len(completion.tokens))
        completion.signals[signal][at] = torch.tensor(values)


def fill(
    policy: Policy, groups: Sequence[Group], processes: Processes | None = None, token_budget: int = TOKEN_BUDGET
) -> None:
    """Give completions the log-probabilities and entropies that their sampler could not, as `policy` has them.

    Args:
        policy: The policy that they were sampled from.
        groups: The completions; those that have both are left alone.
        processes: Who shares the work, each with all of the groups; None: this process alone, for groups of its own.
        token_budget: Most tokens in one pass.
    """
    groups = [group for group in groups if any(None in (one.logprobs, one.entropies) for one in group.completions)]
    if not groups:
        return
    whole = [replace(group, completions=[replace(c, train=None) for c in group.completions]) for group in groups]
    ranks, rank = (processes.world, processes.rank) if processes else (1, 0)
    mine = list(scored(policy, whole, token_budget, policy.autocast, ranks, rank))
    for group, answer, _, logprobs, entropies in processes.gather(mine) if processes else mine:
        completion = groups[group].completions[answer]
        completion.logprobs = tuple(logprobs) if completion.logprobs is None else completion.logprobs
        completion.entropies = tuple(entropies) if completion.entropies is None else completion.entropies


@torch.no_grad()
def scored(
    policy: Policy,
    groups: Sequence[Group],
    token_budget: int,
    precision: Callable[[], AbstractContextManager[Any]],
    ranks: int = 1,
    rank: int = 0,
) -> Iterator[tuple[int, int, list[int], list[float], list[float]]]:
    """One process's share of a scoring pass: the same packed forward as training.

    Yields:
        Group, completion, and of its n trained tokens the places, log-probabilities and entropies (nats).
    """
    encoded = [bare(policy.encode_group(group)) for group in groups]
    for rows in plan(encoded, token_budget=token_budget, ranks=ranks, share=policy.packed.share):
        row = rows[rank].to(policy.device)
        with precision():
            output = policy.packed(row, None)
        if row.is_dummy:
            continue
        columns = torch.stack([row.owner[:, 2].double(), output.logprob.double(), output.entropy.double()], 1)
        for group, answer, part in row.by_answer(columns.cpu()):
            places, logprobs, entropies = part.t().tolist()
            yield group, answer, [int(place) for place in places], logprobs, entropies
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
