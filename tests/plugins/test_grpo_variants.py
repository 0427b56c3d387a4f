"""GRPO's variants: losses and gradients against their formulas in float64; settings, draws, the controller."""

import math
from types import SimpleNamespace

import pytest
import torch
from pydantic import ValidationError
from warmrl_datasets.config import FilesConfig
from warmrl_grpo.config import GRPOConfig
from warmrl_grpo.method import GRPO
from warmrl_grpo.reference import adapted
from warmrl_sft.config import SFTConfig

from warmrl.domain.group import Completion, Group
from warmrl.domain.problem import Problem
from warmrl.engine.api import Row, SequenceLoss
from warmrl.engine.keys import semantic
from warmrl.engine.training import learning_rate, weigh
from warmrl.plugin.registry import Registry

LOSSES = ("grpo", "dapo", "dr_grpo", "gspo", "cispo")
LENGTHS = (9, 3, 14, 1, 6)
MOST = 20  # `max_tokens`
TOLERANCE = 1e-6


def drawn(spread, seed=22):
    """Per completion: log-probabilities of policy, old policy and reference, entropies, and the advantage."""
    draw = torch.Generator().manual_seed(seed)

    def per_token(count, scale):
        return scale * torch.randn(count, generator=draw, dtype=torch.float64)

    out = []
    for number, count in enumerate(LENGTHS):
        logprob = -per_token(count, 1.0).abs() - 0.1
        old = logprob + (-1) ** number * spread + per_token(count, spread)
        out.append(
            {"logprob": logprob, "old": old, "reference": logprob + per_token(count, 0.3),
             "entropy": per_token(count, 1.0).abs(), "advantage": float(per_token(1, 1.0))}
        )  # fmt: skip
    return out


def found(canned, old=True, dtype=torch.float32, **settings):
    """Of the method's own loss with the engine's weights: value, gradients by log-probability and entropy."""
    config = GRPOConfig(max_tokens=MOST, **settings)
    completions = [
        Completion((0,) * len(one["logprob"]), "", signals={"advantage": one["advantage"]}) for one in canned
    ]
    weigh([Group(Problem("p", (), ""), completions)], config.normalise, MOST)
    columns = {
        name: torch.cat([torch.full((len(one.tokens),), one.signals[name], dtype=dtype) for one in completions])
        for name in ("advantage", "weight", "token_weight")
    }
    columns["reference_logprob"] = torch.cat([one["reference"] for one in canned]).to(dtype)
    if old:
        columns["old_logprob"] = torch.cat([one["old"] for one in canned]).to(dtype)
    answers, nothing = tuple((0, at, len(one.tokens)) for at, one in enumerate(completions)), torch.zeros(0)
    row = Row(nothing, (), nothing, nothing, nothing, answers, columns)
    loss = GRPO(config, SimpleNamespace(reference=lambda: "frozen")).loss(row)
    points = [torch.cat([one[name] for one in canned]).to(dtype).requires_grad_() for name in ("logprob", "entropy")]
    assert isinstance(loss, SequenceLoss) == (config.loss == "gspo")
    if isinstance(loss, SequenceLoss):
        value = loss.fn(*points)
    else:  # in chunks, as the head has it
        chunks = slice(0, 11), slice(11, sum(LENGTHS))
        value = sum(loss.fn(*(point[rows] for point in points), rows) for rows in chunks)
    return value, *torch.autograd.grad(value, points, materialize_grads=True)


# Of each loss: its ratio and normaliser, the clips from below and above, and the bound of negative objectives.
PAPERS = {
    "grpo": ("token", "tokens", 0.8, 1.3, 3.0),
    "dapo": ("token", "tokens", 0.8, 1.28, math.inf),
    "dr_grpo": ("token", "constant", 0.8, 1.2, math.inf),
    "gspo": ("sequence", "completions", 1 - 3e-4, 1 + 4e-4, math.inf),
    "cispo": ("weight", "tokens", 0.0, 5.0, math.inf),
}


def formula(name, canned, old=True, kl=0.0, bonus=0.0):
    """The papers' formulas, one token after the other, in float64."""
    kind, normaliser, low, high, bound = PAPERS[name]
    logprobs = [one["logprob"].clone().requires_grad_() for one in canned]
    entropies = [one["entropy"].clone().requires_grad_() for one in canned]
    tokens, loss = sum(LENGTHS), torch.zeros((), dtype=torch.float64)
    for one, logprob, entropy in zip(canned, logprobs, entropies, strict=True):
        count, advantage = len(logprob), one["advantage"]
        before = one["old"] if old else logprob.detach()
        share = {"tokens": tokens, "completions": len(canned) * count, "constant": len(canned) * MOST}[normaliser]
        of_sequence = (logprob.exp().prod() / before.exp().prod()) ** (1 / count)
        for t in range(count):
            ratio = of_sequence if kind == "sequence" else logprob[t].exp() / before[t].exp()
            inside = low if ratio < low else high if ratio > high else ratio
            if kind == "weight":
                objective = min(max(ratio.detach(), low), high) * advantage * logprob[t]
            elif advantage < 0:
                objective = advantage * min(max(ratio, inside), torch.tensor(bound, dtype=torch.float64))
            else:
                objective = advantage * min(ratio, inside)
            apart = one["reference"][t].exp() / logprob[t].exp()
            loss = loss - objective / share + kl * (apart - apart.log() - 1) / share - bonus * entropy[t] / tokens
    grads = torch.autograd.grad(loss, [*logprobs, *entropies], materialize_grads=True)
    return loss, torch.cat(grads[: len(canned)]), torch.cat(grads[len(canned) :])


def gap(found, expected):
    """The largest relative difference of value and gradients; what is zero is zero in both."""
    pairs = ((a.detach().double(), b.detach()) for a, b in zip(found, expected, strict=True))
    return max(float((a - b).norm() / (b.norm() or 1.0)) for a, b in pairs)


@pytest.mark.parametrize("more", [{}, {"kl": 0.04, "bonus": 0.01}], ids=["alone", "reference and entropy"])
@pytest.mark.parametrize("spread", [2e-4, 0.9], ids=["near", "far"])
@pytest.mark.parametrize("old", [False, True], ids=["on policy", "old log-probs"])
@pytest.mark.parametrize("name", LOSSES)
def test_loss_and_gradients(name, old, spread, more):
    canned = drawn(spread)
    settings = {"reference_kl": more["kl"], "entropy_bonus": more["bonus"]} if more else {}
    measured = gap(found(canned, old, loss=name, **settings), formula(name, canned, old, **more))
    exact = gap(found(canned, old, torch.float64, loss=name, **settings), formula(name, canned, old, **more))
    print(f"{name}: {measured:.1e} in float32, {exact:.1e} in float64")
    assert exact <= 1e-12
    assert measured <= TOLERANCE


MUTANTS = {
    "ratios of tokens": ("gspo", {"loss": "dapo", "normalise": "sequence", "clip_low": 3e-4, "clip_high": 4e-4}),
    "ratios of sequences": ("dapo", {"loss": "gspo", "normalise": "token", "clip_low": 0.09, "clip_high": 0.09}),
    "a clipped objective": ("cispo", {"loss": "grpo", "clip_low": 1.0, "clip_high": 4.0, "dual_clip": 0.0}),
    "another clip": ("dapo", {"loss": "dapo", "clip_high": 0.3}),
    "another length": ("dr_grpo", {"loss": "dr_grpo", "normalise": "token"}),
    "no dual clip": ("grpo", {"loss": "grpo", "dual_clip": 0.0}),
    "a weight of 4": ("cispo", {"loss": "cispo", "clip_high": 3.0}),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_mutant_is_seen(mutant):
    name, settings = MUTANTS[mutant]
    canned = drawn(0.9)
    assert gap(found(canned, **settings), formula(name, canned)) > 1000 * TOLERANCE


def test_what_a_name_sets_and_what_the_recipe_says():
    """`grpo` sets nothing; what is written goes before the name; what was resolved is taken back."""
    assert GRPOConfig(loss="grpo") == GRPOConfig()
    dr = GRPOConfig(loss="dr_grpo", scale_advantages=True, clip_high=0.28)
    assert (dr.normalise, dr.scale_advantages, dr.clip_low, dr.clip_high) == ("constant", True, 0.2, 0.28)
    for name in LOSSES:
        config = GRPOConfig(loss=name)
        assert GRPOConfig.model_validate(config.model_dump(exclude_none=True)) == config


def test_keys_of_older_results_stay():
    """A field that came later is in a key only where it is not at its default."""
    later = {"loss", "resample", "kl_target", "kl_horizon", "entropy_bonus", "min_learning_rate"}
    registry = Registry.installed()
    assert not later & semantic(GRPOConfig(), registry).keys()
    moved = GRPOConfig(loss="dapo", resample=1, reference_kl=0.1, kl_target=0.1, kl_horizon=9.0, entropy_bonus=0.1)
    assert later - semantic(moved, registry).keys() == {"min_learning_rate"}
    files = FilesConfig(path="problems.jsonl")
    assert "weighting" not in semantic(SFTConfig(), registry) and "rejected" not in semantic(files, registry)
    assert semantic(SFTConfig(weighting="dft"), registry)["weighting"] == "dft"
    assert semantic(files.model_copy(update={"rejected": "worse"}), registry)["rejected"] == "worse"


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_the_learning_rate_ends_at_its_floor(schedule):
    def rates(floor):
        config = GRPOConfig(schedule=schedule, learning_rate=1e-6, min_learning_rate=floor, warmup=0.1)
        return [learning_rate(config, 100, update) for update in range(100)]

    low, zero = rates(5e-7), rates(0.0)
    assert low[:11] == zero[:11] and low[9] == 1e-6
    assert low[55] == pytest.approx(7.5e-7)
    assert low == pytest.approx([max(a, 0.5 * a + 5e-7) if at > 10 else a for at, a in enumerate(zero)])
    assert 5e-7 < low[99] < 5.1e-7 and low[10:] == sorted(low[10:], reverse=True)


def test_the_coefficient_follows_its_target():
    how = {"target": 5e-4, "horizon": 10000, "completions": 2048}
    assert adapted(1e-3, 5e-4, **how) == 1e-3
    assert adapted(1e-3, 5.5e-4, **how) == pytest.approx(1e-3 * (1 + 0.1 * 0.2048))
    assert adapted(1e-3, 1.0, **how) == pytest.approx(1e-3 * (1 + 0.2 * 0.2048))
    assert adapted(1e-3, 0.0, **how) == pytest.approx(1e-3 * (1 - 0.2 * 0.2048))
    assert adapted(1e-3, 0.0, target=5e-4, horizon=1, completions=10**6) == pytest.approx(8e-4)


class FakeStage:
    """Problems 0, 1, 2, ...; every `rare`-th has unequal rewards. Notes what was drawn."""

    def __init__(self, rare, count=3):
        self.rare, self.count, self.asked = rare, count, []

    def draw(self, draw):
        return list(range(draw * self.count, (draw + 1) * self.count))

    def sample(self, problems, samples, step, **_):
        self.asked.append(step)
        return [Group(Problem(str(one), (), ""), [Completion((1,), "") for _ in range(samples)]) for one in problems]

    def reward(self, groups):
        for group in groups:
            group.completions[0].reward = float(int(group.problem.id) % self.rare == 0)


def steps(rare, resample, count):
    """Of so many steps: problems trained on, left out, and what was logged."""
    stage = FakeStage(rare)
    method, out = GRPO(GRPOConfig(prompts_per_step=3, samples_per_prompt=2, resample=resample), stage), []
    for step in range(count):
        groups = method.groups(step)
        logged = method.metrics(groups)
        method.after_step(step)
        out.append(([int(g.problem.id) for g in groups], [int(g.problem.id) for g in method.left_out()], logged))
    return out, stage, method


def test_draws_until_groups_have_signal():
    (first, second), stage, method = steps(rare=2, resample=3, count=2)
    assert first[:2] == ([0, 2, 4], [1, 3, 5])
    assert second[:2] == ([6, 8, 10], [7, 9, 11])
    assert stage.asked == [0, 1, 2, 3] and method.state()["draws"] == 4
    logged = {name: second[2][name] for name in ("drawn", "drawn_without_signal", "drawn_reward")}
    assert logged == {"drawn": 6, "drawn_without_signal": 3, "drawn_reward": 0.25}
    assert second[2]["groups_without_signal"] == 0


def test_after_its_last_draw_a_step_takes_what_there_is():
    (first, second), _, method = steps(rare=4, resample=1, count=2)
    assert first[:2] == ([0, 1, 4], [2, 3, 5]), "the first without signal fills up, in the order drawn"
    assert second[:2] == ([6, 7, 8], [9, 10, 11])
    assert second[2]["groups_without_signal"] == 2 and method.state()["draws"] == 4


def test_without_it_every_step_is_one_draw():
    found, stage, _ = steps(rare=10**9, resample=0, count=2)
    assert [one[:2] for one in found] == [([0, 1, 2], []), ([3, 4, 5], [])] and stage.asked == [0, 1]
    assert "drawn" not in found[0][2]


def test_a_step_that_did_not_end_is_drawn_again():
    """A checkpoint that is made while a step's groups are made does not skip them."""
    _, stage, method = steps(rare=2, resample=3, count=1)
    before = method.state()
    groups = [group.problem.id for group in method.groups(1)]
    assert method.state() == before
    again = GRPO(method.config, stage)
    again.load(before)
    assert [group.problem.id for group in again.groups(1)] == groups


def test_older_checkpoints_are_taken():
    method = GRPO(GRPOConfig(reference_kl=0.5), SimpleNamespace(reference=lambda: None))
    method.load({})
    assert method.state() == {"draws": 0, "reference_kl": 0.5}


REFUSED = {
    "dual_clip": {"dual_clip": 0.5},
    "nothing to bound": {"loss": "cispo", "dual_clip": 3.0},
    "range for tokens": {"loss": "gspo", "clip_low": 0.2},
    "give it a start": {"kl_target": 5e-4},
    "`kl_horizon`": {"kl_horizon": 5.0},
    "above `learning_rate`": {"schedule": "cosine", "learning_rate": 1e-6, "min_learning_rate": 2e-6},
    "set `schedule`": {"min_learning_rate": 1e-7},
}


@pytest.mark.parametrize("word", REFUSED)
def test_what_contradicts_itself_is_refused(word):
    with pytest.raises(ValidationError) as refused:
        GRPOConfig(**REFUSED[word])
    (error,) = refused.value.errors()
    assert word in error["msg"]
