"""Self-distillation of the packed path against TRL's losses on plain forward passes of both views.

TRL's `SDFTTrainer` builds its own prompts of text; its losses (`trl.experimental.sdft.loss_utils`) are given the logits
of the model without packing, behind the student's prompt and behind the teacher's.
"""

import pytest
import torch
from parity.subjects import (
    TOLERANCE,
    UNCLIPPED,
    Update,
    agree,
    canned_groups,
    gradients_of,
    load_policy,
    stage_for,
    update_of,
    weighed,
    write_checkpoint,
)
from parity.trl_oracle import model_at
from trl.experimental.sdft.loss_utils import (
    compute_full_logit_self_distillation_loss,
    compute_sampled_token_self_distillation_loss,
)
from warmrl_opd.config import OPSDConfig
from warmrl_opd.opsd import OPSD

from warmrl.domain.problem import Message, Text
from warmrl.domain.stages import LoRATable
from warmrl.engine.processes import Processes
from warmrl.engine.trainable import add_adapters

# `divergence` here and TRL's alpha.
ALPHAS = {"jsd": 0.5, "forward": 0.0, "reverse": 1.0, "sampled": 1.0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("self") / "policy", seed=1)


def method_on(folder, policy, **config):
    """OPSD of a stage whose rollouts are canned ones."""
    stage = stage_for(policy, OPSDConfig(max_grad_norm=UNCLIPPED, **config), folder, Processes())
    method = OPSD(stage.config, stage)
    method.prepare()
    groups = canned_groups(policy)
    method.rollouts = lambda _step: groups
    return method


def ours(folder, **config):
    method = method_on(folder, load_policy(folder), **config)
    return update_of(method.stage, method, weighed(method.groups(0)))


def logits(model, policy, view, tokens):
    """`[C, V]` that predict a completion behind a prompt, by transformers' own forward."""
    prompt = policy.encode_prompt(view)
    ids = torch.cat([prompt.ids, torch.tensor(tokens)])[None]
    return model(input_ids=ids, attention_mask=torch.ones_like(ids), **prompt.pixels).logits[
        0, len(prompt.ids) - 1 : -1
    ]


def hinted(group):
    """What the teacher reads: the default hint at the end of the question."""
    (asked,) = group.views[0]
    hint = (
        f"\n\nHere is a reference solution to this problem:\n{group.problem.solution}\n\n"
        "Now answer with a solution of your own, with all of its reasoning."
    )
    return (Message(asked.role, (*asked.parts, Text(hint))),)


@pytest.fixture(scope="module")
def theirs(folder):
    """By the name of a divergence TRL's loss, a mean over all trained tokens, and its gradients."""
    policy, model, teacher = load_policy(folder), model_at(folder), model_at(folder).requires_grad_(False)
    parts = {name: [] for name in ALPHAS}
    for group in canned_groups(policy):
        for one in group.completions:
            student = logits(model, policy, group.views[0], one.tokens)
            told = logits(teacher, policy, hinted(group), one.tokens)
            kept = torch.tensor(one.train or [True] * len(one.tokens))
            for name, alpha in ALPHAS.items():
                how = {"distillation_alpha": alpha}
                if name == "sampled":
                    ids = torch.tensor(one.tokens)
                    loss = compute_sampled_token_self_distillation_loss(student, told, ids, **how)
                else:
                    loss = compute_full_logit_self_distillation_loss(student, told, **how)
                parts[name].append(loss[kept])
    found = {}
    for name, losses in parts.items():
        model.zero_grad()
        loss = torch.cat(losses).mean()
        loss.backward(retain_graph=True)
        found[name] = Update(float(loss.detach()), gradients_of(model))
    return found


@pytest.mark.parametrize("divergence", ALPHAS)
def test_loss_and_gradients(folder, theirs, divergence):
    """The sampled form has TRL's gradient; its value is another, for the log-ratio is all that it weighs."""
    found = ours(folder, divergence=divergence)
    if divergence == "sampled":
        found = Update(theirs[divergence].loss, found.gradients)
    agree(found, theirs[divergence])


@pytest.mark.parametrize("teacher", ["live", "ema"])
def test_at_first_they_teach_the_same(folder, theirs, teacher):
    agree(ours(folder, teacher=teacher), theirs["jsd"])


def test_mutants_are_seen(folder, theirs):
    """Another hint, and another divergence."""
    assert max(ours(folder, hint=" {solution}").gaps(theirs["jsd"])) > 100 * TOLERANCE
    assert max(ours(folder, divergence="forward").gaps(theirs["jsd"])) > 100 * TOLERANCE


@pytest.mark.parametrize("adapters", [False, True], ids=["in full", "adapters"])
def test_the_average(folder, adapters):
    """It follows the student, teaches in its place, leaves no trace there, and goes on from a checkpoint."""
    policy = load_policy(folder)
    if adapters:
        policy.model.requires_grad_(False)
        add_adapters(policy, ["language"], LoRATable(rank=2, alpha=4), 0, "base")
    method = method_on(folder, policy, teacher="ema", ema_decay=0.75)
    trained = {name: one for name, one in policy.model.named_parameters() if one.requires_grad}
    expected = {name: one.detach().double() for name, one in trained.items()}
    for _ in range(2):
        with torch.no_grad():
            for one in trained.values():
                one.add_(0.1 * torch.sin(torch.arange(one.numel()).view_as(one)))
        method.after_step(0)
        expected = {name: 0.75 * one + 0.25 * trained[name].detach().double() for name, one in expected.items()}
    student = {name: one.detach().clone() for name, one in trained.items()}
    with method.teacher():
        for name, one in trained.items():
            torch.testing.assert_close(one.detach().double(), expected[name], rtol=1e-6, atol=1e-7)
            assert not torch.equal(one, student[name])
    state = method.state()
    again = method_on(folder, policy, teacher="ema", ema_decay=0.75)
    again.load(state)
    assert all(torch.equal(one, student[name]) for name, one in trained.items())
    assert all(torch.equal(one, method.average.held[name]) for name, one in again.average.held.items())
    taught = [one.groups(0)[0].completions[0].signals["teacher_hidden"] for one in (method, again)]
    assert torch.equal(*taught)
