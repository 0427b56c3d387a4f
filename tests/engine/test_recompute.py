"""Gradient checkpointing by the plan's estimate: right enough, and without a trace in the results."""

import json

import pytest
import torch
from encoded_groups import groups_for, run, some_loss
from tiny_models import VISION, tiny_model

from warmrl.engine import recompute
from warmrl.packed.memory import activations, lengths_of, training_of
from warmrl.packed.memory import recompute as switch
from warmrl.packed.plan import plan
from warmrl.packed.policy import PackedPolicy
from warmrl.packed.shapes import shapes_of


def saved_bytes(model, compute) -> int:
    """Bytes that autograd keeps, each storage once, parameters left out."""
    own = {one.untyped_storage().data_ptr() for one in [*model.parameters(), *model.buffers()]}
    kept = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        compute()
    return sum(one.untyped_storage().nbytes() for one in kept.values())


@pytest.mark.parametrize("family", (*VISION, "qwen3", "llama"))
@pytest.mark.parametrize("shape", [((1, 1),), ((2, 8),), ((1, 4), (0, 6), (2, 3))], ids=["one", "group", "mixed"])
def test_the_estimate(family, shape):
    model = tiny_model(family, layers=4, width=128)
    policy = PackedPolicy(model)
    ((row,),) = plan(groups_for(family, shape), token_budget=10**6)
    measured = saved_bytes(model, lambda: policy(row, some_loss(row)))
    shapes = shapes_of(policy)
    found = activations(shapes, lengths_of(shapes, row), training_of(policy))
    head = policy.head_weight.numel() * 4 + len(row.targets) * policy.head_weight.shape[1] * 4
    assert found.kept + head == pytest.approx(measured, rel=0.15)


@pytest.mark.parametrize("family", ["idefics3", "qwen2_5_vl"])
def test_recomputing_changes_memory_and_nothing_else(family):
    model, groups = tiny_model(family, layers=4), groups_for(family)
    ((row,),) = plan(groups, token_budget=10**6)
    found, kept = [], []
    for on in (False, True):
        switch(model, on)
        found.append(run(model, groups, share=True))
        kept.append(saved_bytes(model, lambda: PackedPolicy(model)(row, some_loss(row))))
    (_, one), (_, other) = found
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert kept[1] < kept[0] / 2


def test_a_run_without_memory(home, whole, monkeypatch):
    """Every row is recomputed, which is said; what is learnt is the same, byte for byte."""
    monkeypatch.setattr(recompute, "free_bytes", lambda _device: 0)
    home.run()
    assert home.digests() == whole.digests()
    for there, expected in ((home, True), (whole, False)):
        files = sorted((there.path / "run" / "stages").glob("*/timings.jsonl"))
        rows = [json.loads(line) for file in files for line in file.read_text().splitlines()]
        assert len(rows) == 6
        assert all(bool(row["rows_recomputed"]) is expected for row in rows)
