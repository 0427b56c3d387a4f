"""The vision tower runs once per distinct image of a pass, and never again while nothing of it trains."""

import pytest
import torch
from encoded_groups import answer
from tiny_models import VISION, WITH_IMAGES, tiny_model, tiny_prompt

from warmrl.packed.features import bytes_of
from warmrl.packed.plan import EncodedGroup, plan
from warmrl.packed.policy import PackedPolicy


def policy_of(family="qwen2_5_vl", *, frozen=True, **how):
    """A policy that counts the images its tower runs on."""
    policy = PackedPolicy(tiny_model(family), **how)
    policy.seen = 0
    for path in (*policy.family.vision, *policy.family.projector):
        policy.base.get_submodule(path).requires_grad_(not frozen)
    if family == "qwen2_5_vl":

        def count(_module, _args, kwargs):
            policy.seen += len(kwargs["grid_thw"])

        policy.base.model.visual.register_forward_pre_hook(count, with_kwargs=True)
    return policy


def row_of(*images, family="qwen2_5_vl", keys=None):
    """A row with a prompt for each tuple of images."""
    draw = torch.Generator().manual_seed(3)
    groups = [
        EncodedGroup((tiny_prompt(family, 6 + i, shown, seed=i, keys=keys),), (answer(5, draw), answer(4, draw)))
        for i, shown in enumerate(images)
    ]
    ((row,),) = plan(groups, token_budget=10**6)
    return row


def scores(policy, row):
    out = policy(row)
    return torch.stack([out.logprob, out.entropy])


def runs(policy, row):
    """On how many images the tower ran for a row."""
    before = policy.seen
    scores(policy, row)
    return policy.seen - before


@pytest.mark.parametrize("family", WITH_IMAGES)
def test_images_are_told_apart(family):
    """Features of single images are those of the prompt, also of images of several tiles in any order."""
    policy = policy_of(family)
    for shown in [(1, 2, 3), (2, 5, 0), (2,)]:
        prompt = tiny_prompt(family, 6, shown)
        images = policy.family.images(policy.base, prompt)
        assert len(images) == len(shown)
        (whole,) = policy.family.features(policy.base, [prompt.pixels])
        parts = policy.family.features(policy.base, images)
        assert float((torch.cat(parts, 1) - whole).abs().max()) <= 1e-5
        assert whole.shape[1] == int((prompt.ids == policy.base.config.image_token_id).sum())


@pytest.mark.parametrize("frozen", [True, False])
def test_once_per_distinct_image(frozen):
    policy = policy_of(frozen=frozen)
    row = row_of((1, 2), (2,), (2, 1), (), (3,))
    assert runs(policy, row) == 3
    assert runs(policy, row) == (0 if frozen else 3)
    assert runs(policy, row_of((3, 4))) == (1 if frozen else 2)


def test_images_without_keys_are_all_different():
    policy = policy_of()
    row = row_of((1,), (1,), keys=())
    assert runs(policy, row) == runs(policy, row) == 2
    assert not policy.features.kept


def test_images_that_cannot_be_told_apart_are_one():
    policy = policy_of()
    row = row_of((1, 2), (1, 2), keys=("both",))
    assert runs(policy, row) == 2
    assert runs(policy, row) == 0


@pytest.mark.parametrize("family", VISION)
def test_the_same_bits_with_and_without(family):
    """Whatever was computed before and with it, also for other completions that were sampled without gradients."""
    row, other = (row_of(*shown, family=family) for shown in [((1, 2), (2,)), ((3, 2),)])
    expected = scores(policy_of(family, feature_bytes=0), row)
    policy = policy_of(family)
    with torch.inference_mode():
        policy.decode([block.prompt for block in other.blocks], [0], 4)
    assert policy.features.bytes > 0
    for _ in range(2):
        assert torch.equal(scores(policy, row), expected)
    policy.hidden(row).sum().backward()


def test_bounded():
    """The images that were not asked for longest go first."""
    one = bytes_of(policy_of().features.of([tiny_prompt("qwen2_5_vl", 6, (0,))])[0])
    policy = policy_of(feature_bytes=2 * one)
    for image in (0, 3, 0, 6):  # of equal size
        scores(policy, row_of((image,)))
    assert policy.features.bytes <= 2 * one
    assert [runs(policy, row_of((image,))) for image in (0, 6, 3)] == [0, 0, 1]
    policy = policy_of(feature_bytes=1)
    assert runs(policy, row_of((0,))) == runs(policy, row_of((0,))) == 1


def test_a_part_that_trains_is_computed_anew():
    policy, row = policy_of(), row_of((1,))
    runs(policy, row)
    merger = policy.base.model.visual.merger
    merger.requires_grad_(True)
    with torch.no_grad():
        assert runs(policy, row) == 1, "no_grad says nothing about weights that change"
        assert not policy.features.kept
        before = scores(policy, row)
        merger.mlp[0].weight.mul_(1.5)
    merger.requires_grad_(False)
    assert not torch.equal(scores(policy, row), before)


CHANGES = {
    "loaded": lambda model: model.load_state_dict({k: 1.1 * v for k, v in model.state_dict().items()}),
    "assigned": lambda model: model.load_state_dict({k: 1.1 * v for k, v in model.state_dict().items()}, assign=True),
    "of another dtype": lambda model: model.double(),
    "written in place": lambda model: [p.mul_(1.1) for p in model.model.visual.parameters()],
    "replaced": lambda model: [setattr(p, "data", 1.1 * p.data) for p in model.model.visual.parameters()],
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_other_weights_are_noticed(change):
    policy, row = policy_of(), row_of((1,))
    assert [runs(policy, row), runs(policy, row)] == [1, 0]
    change(policy.base)
    assert [runs(policy, row), runs(policy, row)] == [1, 0]


def test_autocast_has_features_of_its_own():
    policy, row = policy_of(), row_of((1,))
    runs(policy, row)
    with torch.autocast("cpu", torch.bfloat16):
        assert [runs(policy, row), runs(policy, row)] == [1, 0]
    assert runs(policy, row) == 0


def test_dropout_and_adapters_are_never_kept():
    policy, row = policy_of(), row_of((1,))
    block = policy.base.model.visual.blocks[0]
    block.dropout = torch.nn.Dropout(0.1)
    policy.train()
    assert [runs(policy, row), runs(policy, row)] == [1, 1]
    policy.eval()
    assert [runs(policy, row), runs(policy, row)] == [1, 0]
    block.disable_adapters = False
    assert runs(policy, row) == 1
