"""The warm start `dpo`: its losses by the formulas, what it refuses, what it remembers."""

import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from parity.subjects import load_policy, problems, stage_for, write_checkpoint
from warmrl_dpo.config import DPOConfig
from warmrl_dpo.loss import pairs_loss
from warmrl_dpo.method import DPO

from warmrl.api import DataError
from warmrl.engine.processes import Processes
from warmrl.engine.training import Clock, adamw, update


def canned(dtype):
    draw = torch.Generator().manual_seed(0)
    logprob, reference = (-20 * torch.rand(6, 2, generator=draw) for _ in range(2))
    weight, nll = (torch.rand(6, generator=draw) for _ in range(2))
    return [one.to(dtype) for one in (logprob, reference, weight, nll)]


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def by_hand(loss, beta, shift):
    """The formulas, one pair at a time."""
    total = 0.0
    for pair, ref, weight, nll in zip(*(one.tolist() for one in canned(torch.float64)), strict=True):
        good, bad = beta * (pair[0] - ref[0]), beta * (pair[1] - ref[1])
        value = -math.log(sigmoid(good - bad))
        if loss == "mpo":
            value = 0.8 * value - 0.2 * (math.log(sigmoid(good - shift)) + math.log(sigmoid(-(bad - shift))))
        total += weight * value - nll * pair[0]
    return total


@pytest.mark.parametrize(("loss", "shift"), [("dpo", 0.0), ("mpo", 0.0), ("mpo", 0.7)])
def test_losses(loss, shift):
    found = pairs_loss(*canned(torch.float32), loss=loss, beta=0.3, shift=shift)
    assert float(found) == pytest.approx(by_hand(loss, 0.3, shift), rel=1e-6)
    assert float(found) != pytest.approx(by_hand(loss, 0.2, shift), rel=1e-3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("dpo"), seed=1)


def pairs(count=4):
    rows = problems((0, 1, 0, 0)[:count])
    return [replace(row, rejected=row.solution + " 1" * (i + 1)) for i, row in enumerate(rows)]


def method(folder, work, rows, *, policy=None, **config):
    config = DPOConfig(**{"prompts_per_step": len(rows), "learning_rate": 1e-3} | config)
    stage = stage_for(policy or load_policy(folder), config, work, Processes())
    stage.problems, stage.sampling = rows, SimpleNamespace(block_size=3)
    return DPO(config, stage)


def stepped(subject, step=0):
    """One step as the loop makes it; what is logged."""
    stage = subject.stage
    row = update(stage, subject, stage.policy.packed, adamw(stage, subject.config), subject.groups(step), step, Clock())
    assert not subject.after_step(step)
    return row


@pytest.mark.parametrize(("normalise", "of"), [("sequence", "pairs"), ("token", "tokens")])
def test_a_first_step_by_hand(folder, tmp_path, normalise, of):
    """Nothing is preferred yet, so the loss is log 2 and lambda times the chosen answers' likelihood."""
    subject = method(folder, tmp_path, pairs(), nll_weight=0.5, normalise=normalise)
    subject.prepare()
    lengths = [len(subject.pair(one).completions[0].tokens) for one in subject.pairs]
    sums = [subject.reference[id(one)][0] for one in subject.pairs]
    each = [total / length for total, length in zip(sums, lengths, strict=True)]
    nll = -sum(each) / len(each) if of == "pairs" else -sum(sums) / sum(lengths)
    row = stepped(subject)
    assert row["loss"] == pytest.approx(math.log(2) + 0.5 * nll, rel=1e-5)
    assert row["rewards/margin"] == pytest.approx(0, abs=1e-5)
    assert "entropy_on_data" in row


def test_several_updates_a_step_are_as_many_steps(folder, tmp_path):
    """Two updates on halves of a step's pairs; sides apart are scored anew before each."""
    weights = []
    for name, share in (("together", True), ("apart", False)):
        subject = method(folder, tmp_path / name, pairs(), updates_per_rollout=2)
        subject.stage.policy.packed.share = share
        subject.prepare()
        stepped(subject)
        weights.append(torch.cat([p.detach().flatten() for p in subject.stage.policy.model.parameters()]))
    begun = torch.cat([p.detach().flatten() for p in load_policy(folder).model.parameters()])
    assert float((weights[0] - begun).norm()) > 1000 * float((weights[0] - weights[1]).norm())


def test_the_reference_is_read_back(folder, tmp_path):
    """It is the stage's start for good: a method that goes on from a checkpoint computes nothing again."""
    first = method(folder, tmp_path, pairs())
    first.prepare()
    assert len(list((tmp_path / "blocks").glob("*.jsonl"))) == 2
    moved = load_policy(folder)
    for parameter in moved.model.parameters():
        parameter.data.mul_(1.1)
    again = method(folder, tmp_path, pairs(), policy=moved)
    again.load(first.state())
    again.prepare()
    assert [again.reference[id(one)] for one in again.pairs] == [first.reference[id(one)] for one in first.pairs]


def test_the_shift_is_the_mean_of_earlier_rewards(folder, tmp_path):
    subject = method(folder, tmp_path, pairs(), loss="mpo", prompts_per_step=2)
    subject.prepare()
    rows = []
    for step in range(2):
        rows.append(stepped(subject, step))
        middle = subject
        subject = method(folder, tmp_path, pairs(), loss="mpo", prompts_per_step=2, policy=middle.stage.policy)
        subject.load(middle.state())
        subject.prepare()
    means = [(row["rewards/chosen"] + row["rewards/rejected"]) / 2 for row in rows]
    assert rows[0]["reward_shift"] == 0
    assert rows[1]["reward_shift"] == pytest.approx(means[0], abs=1e-12)
    assert subject.shift == pytest.approx(sum(means) / 2, abs=1e-12)
    assert abs(means[1]) > 1e-6


def test_longer_pairs_are_left_out_and_counted(folder, tmp_path):
    groups = [method(folder, tmp_path, pairs()).stage.given(one, one.solution, one.rejected) for one in pairs()]
    policy = load_policy(folder)
    lengths = [len(policy.encode_prompt(g.views[0]).ids) + max(len(c.tokens) for c in g.completions) for g in groups]
    subject = method(folder, tmp_path, pairs(), max_length=max(lengths) - 1)
    assert len(subject.pairs) == sum(one < max(lengths) for one in lengths) < 4
    assert "1 of 4 pairs are longer than `max_length`" in subject.stage.findings[0]
    assert subject.total_steps() == 1
    with pytest.raises(DataError, match="all 4 pairs are longer"):
        method(folder, tmp_path, pairs(), max_length=3)


def test_what_is_no_pair_is_refused(folder, tmp_path):
    lone, *rest = pairs()
    with pytest.raises(DataError, match=r"1 of 4 problems are none .*self_distill.*`chosen` and `rejected`"):
        method(folder, tmp_path, [replace(lone, rejected=None), *rest])
    with pytest.raises(DataError, match="1 pairs whose two sides are the same"):
        method(folder, tmp_path, [replace(lone, rejected=lone.solution), *rest])
