"""GRPO of the packed path against TRL's `GRPOTrainer`: loss and every gradient on canned completions and advantages.

Advantages are canned, so the constants inside their standard deviation (TRL: 1e-4) do not enter. TRL 1.16 multiplies
k3 by the ratio unless told not to (`use_bias_correction_kl`); warmrl has the plain k3 of the GRPO paper.
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
from parity.trl_oracle import batch_of, grpo_trainer, reference_logprobs, signal
from parity.trl_oracle import update_of as trl_update
from warmrl_grpo.config import GRPOConfig
from warmrl_grpo.method import GRPO

from warmrl.engine.passes import score_tokens
from warmrl.engine.processes import Processes

# `normalise` here and what TRL calls it.
LOSS_TYPES = {"token": "dapo", "sequence": "grpo"}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A policy and a reference."""
    home = tmp_path_factory.mktemp("grpo")
    return write_checkpoint(home / "policy", seed=1), write_checkpoint(home / "reference", seed=2)


def groups_for(policy, *, old):
    """Canned groups; with `old`, log-probabilities of a policy so far away that many ratios are clipped."""
    groups = canned_groups(policy)
    if old:
        score_tokens(policy, groups, Processes(), 16384, "old_logprob")
        draw = torch.Generator().manual_seed(5)
        for one in (one for group in groups for one in group.completions):
            one.signals["old_logprob"] += 0.5 * torch.randn(len(one.tokens), generator=draw)
    return groups


def ours(folders, *, old=False, shift=0.0, **config):
    policy = load_policy(folders[0])
    groups = groups_for(policy, old=old)
    for one in (one for group in groups for one in group.completions):
        one.signals["advantage"] += shift
    config = GRPOConfig(max_grad_norm=UNCLIPPED, **config)
    stage = stage_for(policy, config, folders[0], Processes(), reference=folders[1])
    method = GRPO(config, stage)
    if method.reference is not None:
        score_tokens(method.reference, groups, stage.processes, config.token_budget, "reference_logprob")
    return update_of(stage, method, weighed(groups, config.normalise, config.max_tokens))


def theirs(folders, *, old=False, normalise="token", beta=0.0, clip_high=0.3, delta=None, **config):
    policy = load_policy(folders[0])
    groups = groups_for(policy, old=old)
    batch = batch_of(policy, groups)
    settings = {"epsilon": 0.2, "epsilon_high": clip_high, "loss_type": LOSS_TYPES[normalise], **config}
    trainer = grpo_trainer(
        *folders, len(batch["advantages"]), beta=beta, delta=delta, use_bias_correction_kl=False, **settings
    )
    if old:
        batch["old_per_token_logps"] = signal(groups, "old_logprob")
    if beta:
        batch["ref_per_token_logps"] = reference_logprobs(trainer, batch)
    update = trl_update(trainer, batch)
    logged = "cispo_clip_ratio" if settings["loss_type"] == "cispo" else "clip_ratio/region_mean"
    share = trainer._metrics["train"][logged][-1]
    assert (share > 0.1) == old, "with an old policy clipping must be at work"
    return update


@pytest.mark.parametrize("normalise", LOSS_TYPES)
@pytest.mark.parametrize("beta", [0.0, 0.04])
@pytest.mark.parametrize("old", [False, True], ids=["on policy", "old log-probs"])
def test_loss_and_gradients(folders, normalise, beta, old):
    found = ours(folders, old=old, normalise=normalise, reference_kl=beta, dual_clip=0)
    agree(found, theirs(folders, old=old, normalise=normalise, beta=beta))


def test_clip_higher(folders):
    found = ours(folders, old=True, clip_high=0.6, dual_clip=0)
    agree(found, theirs(folders, old=True, clip_high=0.6))
    assert max(found.gaps(ours(folders, old=True, clip_high=0.3, dual_clip=0))) > 100 * TOLERANCE


# Settings of a variant, and TRL's for the same. Its CISPO says the largest weight, where ours says by how much over 1.
VARIANTS = {
    "dr_grpo": (
        {"loss": "dr_grpo", "max_tokens": 20},
        {"loss_type": "dr_grpo", "max_completion_length": 20, "epsilon_high": 0.2},
    ),
    "gspo": (
        {"loss": "gspo", "clip_low": 0.02, "clip_high": 0.03},
        {"loss_type": "grpo", "importance_sampling_level": "sequence", "epsilon": 0.02, "epsilon_high": 0.03},
    ),
    "cispo": ({"loss": "cispo", "clip_high": 0.2}, {"loss_type": "cispo", "epsilon_high": 1.2}),
    "entropy": (
        {"entropy_bonus": 0.05, "normalise": "sequence", "dual_clip": 0},
        {"entropy_coef": 0.05, "loss_type": "grpo"},
    ),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_variants(folders, name):
    own, trl = VARIANTS[name]
    found = ours(folders, old=True, reference_kl=0.04, token_budget=60, **own)
    agree(found, theirs(folders, old=True, beta=0.04, **trl))


def test_dual_clip_is_delta(folders):
    """TRL bounds the ratio itself, which for negative advantages is Ye's bound and for positive ones does nothing."""
    found = ours(folders, old=True, dual_clip=1.4)
    agree(found, theirs(folders, old=True, delta=1.4))
    assert max(found.gaps(ours(folders, old=True, dual_clip=0))) > 100 * TOLERANCE


def test_several_rows(folders):
    found = ours(folders, old=True, token_budget=60, reference_kl=0.04, dual_clip=0)
    agree(found, theirs(folders, old=True, beta=0.04))


@pytest.mark.parametrize("mutant", [{"shift": 1e-3}, {"normalise": "sequence"}, {"clip_low": 0.21}])
def test_a_mutant_is_seen(folders, mutant):
    """Advantages shifted by a thousandth, the other normalisation, a slightly other clip."""
    assert max(ours(folders, old=True, dual_clip=0, **mutant).gaps(theirs(folders, old=True))) > 10 * TOLERANCE
