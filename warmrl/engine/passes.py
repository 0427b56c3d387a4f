"""Passes that only score: log-probabilities of given tokens under a policy, through the same packed forward."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import torch

from warmrl.domain.group import Group
from warmrl.engine.policy import Policy
from warmrl.engine.processes import Processes
from warmrl.engine.sharding import reshard
from warmrl.packed.plan import EncodedGroup, plan


@torch.no_grad()
def score_tokens(policy: Policy, groups: Sequence[Group], processes: Processes, token_budget: int, signal: str) -> None:
    """Write the log-probability of every trained token under `policy` into `signals[signal]` (0 elsewhere)."""
    encoded = [bare(policy.encode_group(group)) for group in groups]
    mine: list[tuple[int, int, list[int], list[float]]] = []
    for rows in plan(encoded, token_budget=token_budget, ranks=processes.world, share=policy.packed.share):
        row = rows[processes.rank].to(policy.device)
        with processes.accelerator.autocast():
            output = policy.packed(row, None)
        if row.is_dummy:
            continue
        places = row.owner[:, 2].cpu()
        for group, answer, part in row.by_answer(torch.stack([output.logprob.cpu().double(), places.double()], 1)):
            mine.append((group, answer, part[:, 1].long().tolist(), part[:, 0].tolist()))
    reshard(policy.root)
    for group, answer, at, values in processes.gather(mine):
        completion = groups[group].completions[answer]
        scored = torch.zeros(len(completion.tokens))
        scored[at] = torch.tensor(values)
        completion.signals[signal] = scored


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
