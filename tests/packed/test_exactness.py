"""The packed forward gives what one row per completion gives: log-probabilities, entropies and every gradient."""

from dataclasses import replace

import pytest
import torch
from encoded_groups import furthest, gradient_gaps, groups_for, run
from tiny_models import IMAGE, tiny_model

from warmrl.packed.plan import EncodedGroup, plan
from warmrl.packed.policy import PackedPolicy

TOLERANCE = 1e-5
# SmolVLM is Idefics3 in another class; test_models.py compares every family's rows with its own forward pass.
VISION = ("idefics3", "qwen2_5_vl", "qwen3_vl", "llava", "internvl")


def compare(family: str, groups: list[EncodedGroup], **how: int) -> None:
    model = tiny_model(family)
    expected = run(model, groups, share=False)
    found = run(model, groups, share=True, **how)
    assert furthest(found[0], expected[0]) <= TOLERANCE
    gaps = gradient_gaps(found[1], expected[1])
    assert len(gaps) >= 20
    assert max(gaps.values()) <= TOLERANCE, max(gaps, key=gaps.get)


@pytest.mark.parametrize("family", [*VISION, "qwen3"])
def test_groups_split_by_the_budget(family):
    compare(family, groups_for(family), budget=40)


@pytest.mark.parametrize("family", VISION)
def test_two_views(family):
    compare(family, groups_for(family, views=2))


@pytest.mark.parametrize("family", VISION)
def test_dummies_and_stand_ins_change_nothing(family):
    compare(family, groups_for(family, ((0, 2), (1, 2), (0, 1))), budget=20, ranks=4)


@pytest.mark.parametrize("family", VISION)
def test_a_sampled_image_token_is_a_token(family):
    groups = groups_for(family, ((1, 3),))
    first, *others = groups[0].answers
    ids = first.ids.clone()
    ids[0] = ids[-1] = IMAGE
    answers = (replace(first, ids=ids, train=torch.ones_like(first.train)), *others)
    compare(family, [EncodedGroup(groups[0].prompts, answers)])


@pytest.mark.parametrize("family", VISION)
def test_gradient_checkpointing(family):
    model, groups = tiny_model(family), groups_for(family)
    expected = run(model, groups, share=True)
    model.train()
    model.gradient_checkpointing_enable({"use_reentrant": False})
    found = run(model, groups, share=True)
    assert furthest(found[0], expected[0]) == 0
    assert max(gradient_gaps(found[1], expected[1]).values()) <= TOLERANCE


@pytest.mark.parametrize("family", VISION[:2])
def test_a_mutant_is_seen(family):
    """Off by one in the predicting position is far beyond the tolerance, so these tests can fail."""
    model, groups = tiny_model(family), groups_for(family, ((1, 3),))
    expected, _ = run(model, groups, share=False)
    ((row,),) = plan(groups, token_budget=10**6)
    out = PackedPolicy(model)(replace(row, predict=(row.predict - 1).clamp(min=0)))
    found = {(g, a): part for g, a, part in row.by_answer(torch.stack([out.logprob, out.entropy], 1))}
    assert furthest(found, expected) > 100 * TOLERANCE


def test_generation_still_works():
    """Without a plan the registered attention is transformers' own, masks and cache included."""
    model = tiny_model("qwen3")
    ids = torch.tensor([[0, 0, 5, 6, 7], [3, 4, 5, 6, 7]])
    mask = torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]])
    stock = model.generate(input_ids=ids, attention_mask=mask, max_new_tokens=8, do_sample=False)
    PackedPolicy(model)
    assert model.config._attn_implementation == "warmrl"
    assert torch.equal(model.generate(input_ids=ids, attention_mask=mask, max_new_tokens=8, do_sample=False), stock)


def test_what_cannot_be_shared_is_said():
    model = tiny_model("llama")
    model.config.attention_dropout = 0.1
    policy = PackedPolicy(model)
    assert policy.share is False
    assert "dropout" in policy.unshared_because
    with pytest.raises(ValueError, match="dropout"):
        PackedPolicy(model, share=True)
    ((row,),) = plan(groups_for("llama", ((0, 2),)), token_budget=100)
    with pytest.raises(ValueError, match="share=False"):
        policy(row)
    model.config.model_type = "mamba"
    with pytest.raises(ValueError, match="`mamba` is not supported"):
        PackedPolicy(model)
