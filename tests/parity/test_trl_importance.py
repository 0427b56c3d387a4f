"""Importance weights of GRPO against TRL's vLLM correction: loss and every gradient on canned completions.

TRL's own loss takes the ratios that its generation step leaves; those are made here as that step makes them, by the
trainer's own settings (`GRPOTrainer._generate_and_score_completions`, 1.16: it cannot run without vLLM).
"""

import pytest
import torch
from parity.subjects import (
    TOLERANCE,
    UNCLIPPED,
    agree,
    canned_groups,
    load_policy,
    stage_for,
    update_of,
    weighed,
    write_checkpoint,
)
from parity.trl_oracle import batch_of, grpo_trainer, signal
from parity.trl_oracle import update_of as trl_update
from warmrl_grpo.config import GRPOConfig
from warmrl_grpo.method import GRPO

from warmrl.engine.passes import score_tokens
from warmrl.engine.processes import Processes

# `importance` here and what TRL calls it.
MODES = {"truncated": "token_truncate", "sequence": "sequence_truncate"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("importance") / "policy", seed=1)


def groups_for(policy, scored):
    """Canned groups of a sampler so far away that some weights are capped; `scored` keeps the old log-probabilities."""
    groups = canned_groups(policy)
    score_tokens(policy, groups, Processes(), 16384, "old_logprob")
    draw = torch.Generator().manual_seed(7)
    for one in (one for group in groups for one in group.completions):
        one.signals["sampler_logprob"] = one.signals["old_logprob"] + 0.7 * torch.randn(len(one.tokens), generator=draw)
        if not scored:
            del one.signals["old_logprob"]
    return groups


def ours(folder, *, scored=True, **config):
    policy = load_policy(folder)
    groups = groups_for(policy, scored)
    config = GRPOConfig(max_grad_norm=UNCLIPPED, dual_clip=0, importance_cap=1.5, **config)
    stage = stage_for(policy, config, folder, Processes())
    return update_of(stage, GRPO(config, stage), weighed(groups))


def theirs(folder, importance):
    policy = load_policy(folder)
    groups = groups_for(policy, True)
    batch = batch_of(policy, groups)
    trainer = grpo_trainer(
        folder, folder, len(batch["advantages"]), beta=0.0, epsilon=0.2, epsilon_high=0.3, loss_type="dapo",
        vllm_importance_sampling_mode=MODES[importance], vllm_importance_sampling_clip_max=1.5,
    )  # fmt: skip
    trainer.use_vllm = True
    batch["old_per_token_logps"] = signal(groups, "old_logprob")
    batch["importance_sampling_ratio"] = ratio_of(trainer, batch, signal(groups, "sampler_logprob"))
    return trl_update(trainer, batch)


def ratio_of(trainer, batch, sampling_per_token_logps):
    """`[B, T]`, or `[B, 1]` for sequences: what TRL's generation step makes of two log-probabilities."""
    difference = (
        (batch["old_per_token_logps"] - sampling_per_token_logps) * batch["completion_mask"] * batch["tool_mask"]
    )
    if trainer.vllm_importance_sampling_mode == "sequence_truncate":
        difference = difference.sum(dim=-1, keepdim=True)
    cap, floor = trainer.vllm_importance_sampling_clip_max, trainer.vllm_importance_sampling_clip_min
    ratio = torch.clamp(torch.exp(difference), min=floor, max=cap)
    assert 0.05 < float((ratio == cap).float().mean()) < 0.9, "some must be capped"
    return ratio


@pytest.mark.parametrize("importance", MODES)
def test_loss_and_gradients(folder, importance):
    found = ours(folder, importance=importance)
    agree(found, theirs(folder, importance))
    assert max(found.gaps(ours(folder, importance="off"))) > 100 * TOLERANCE


def test_one_update_needs_no_pass_for_tokens(folder):
    agree(ours(folder, importance="truncated", scored=False), theirs(folder, "truncated"))


def test_a_completion_stays_whole_however_rows_are_cut(folder):
    agree(ours(folder, importance="sequence", token_budget=60), theirs(folder, "sequence"))
