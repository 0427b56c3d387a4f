"""Passes that only score: log-probabilities of given tokens under a policy, through the same packed forward."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from warmrl.domain.group import Group
from warmrl.engine.policy import Policy
from warmrl.engine.processes import Processes
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
    policy: Policy, groups: Sequence[Group], processes: Processes, token_budget: int, signal: str
) -> None:
    """Write the hidden states `[C, H]` that predict each trained token into `signals[signal]` (0 elsewhere).

    Each process computes all of them: they are larger to send than to compute again.
    """
    encoded = [bare(policy.encode_group(group)) for group in groups]
    for rows in plan(encoded, token_budget=token_budget, share=policy.packed.share):
        row = rows[0].to(policy.device)
        with processes.accelerator.autocast():
            states = policy.packed.hidden(row)
        places = row.owner[:, 2]
        at = 0
        for group, answer, part in row.by_answer(states):
            completion = groups[group].completions[answer]
            kept = part.new_zeros(len(completion.tokens), part.shape[1])
            kept[places[at : at + len(part)]] = part
            completion.signals[signal] = kept
            at += len(part)
