"""The plan's memory, from `config.json` and lengths, against what real updates of small models take."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import measured_updates
import pytest
import torch
from accelerate.state import AcceleratorState
from measured_updates import Case, Measured

from warmrl.domain.recipe import ModelTable
from warmrl.engine.forecast.machines import GB, Machine
from warmrl.engine.forecast.memory import Demand, least, phases, total
from warmrl.engine.forecast.outline import outline
from warmrl.engine.forecast.stage import trained, training
from warmrl.packed.memory import lengths_of
from warmrl.packed.plan import plan
from warmrl.plugin.registry import Registry

CPU = Machine("cpu", 24 * GB, fused_update=False)
LANGUAGE = ("language",)
LORA = {"train": LANGUAGE, "rank": 8, "dtype": "bfloat16"}
CASES = {
    "qwen, all parts": Case(),
    "idefics3, all parts": Case("idefics3"),
    "qwen, recomputed": Case(recompute=True),
    "qwen, vision frozen": Case(train=("language", "projector")),
    "qwen, language": Case(train=LANGUAGE),
    "qwen, adapters, bfloat16": Case(**LORA),
    "idefics3, adapters, bfloat16": Case("idefics3", **LORA),
    "qwen, adapters, recomputed": Case(**LORA, recompute=True),
    "qwen, adapters, float32": Case(train=LANGUAGE, rank=8),
    "qwen, autocast": Case(dtype="bfloat16"),
    "qwen, autocast, recomputed": Case(dtype="bfloat16", recompute=True),
    "qwen, long completions": Case(completions=(400, 350, 300)),
    "qwen, long, recomputed": Case(completions=(400, 350, 300), recompute=True),
    "qwen, several rows": Case(budget=150, groups=3, prompt=20, completions=(30, 25, 35, 30), side=8),
    "qwen, one completion": Case(completions=(200,), groups=1),
    "idefics3, text": Case("idefics3", side=0),
}
QUICK = ("qwen, all parts", "qwen, recomputed", "qwen, several rows", "qwen, vision frozen",
         "idefics3, adapters, bfloat16")  # fmt: skip


@pytest.fixture(autouse=True)
def as_it_was():
    """accelerate's state is one for all tests of a process."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    AcceleratorState._reset_state(reset_partial_state=True)


def demand(measured: Measured, folder: Path) -> Demand:
    """As the plan has it: nothing is read off the live model but its `config.json`."""
    case = measured.case
    measured.policy.packed.base.config.save_pretrained(folder)
    model = outline(str(folder), None, ModelTable(path=str(folder), dtype=case.dtype), Registry.installed())
    assert model is not None
    how = training(measured.config, model, case.dtype, CPU)
    encoded = [group.encoded for group in measured.groups]
    rows = [lengths_of(model.shapes, row) for (row,) in plan(encoded, token_budget=case.budget)]
    largest = max(rows, key=lambda row: row.tokens)
    updated, _ = trained(measured.config, model)
    return Demand(model.shapes, how, largest, updated, several_rows=len(rows) > 1, fused_update=False)


@cache
def peak_of(name: str) -> int:
    return Measured(CASES[name]).peak()


def planned(found: Demand, name: str) -> int:
    return total(phases(found, CASES[name].recompute)["train"])


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in CASES]
)
def test_the_plan_is_within_15_percent_of_the_peak(name, tmp_path):
    found = demand(Measured(CASES[name]), tmp_path)
    ratio = planned(found, name) / peak_of(name)
    print(f"{name}: measured {peak_of(name) / 2**20:.1f} MiB, planned / measured {ratio:.3f}")
    assert ratio == pytest.approx(1, abs=0.15)


def test_parameters_of_a_config_are_those_of_the_model(tmp_path):
    for family in measured_updates.BUILD:
        measured = Measured(Case(family))
        found = demand(measured, tmp_path / family)
        assert found.shapes.total == sum(p.numel() for p in measured.policy.model.parameters())
        adapted = Measured(Case(family, **LORA))
        updated = sum(p.numel() for p in adapted.policy.model.parameters() if p.requires_grad)
        assert demand(adapted, tmp_path / family).trained == updated


MUTANTS = {
    "moments forgotten": ("qwen, vision frozen", lambda d: replace(d, trained=d.trained // 100)),
    "gradients forgotten": ("qwen, several rows", lambda d: replace(d, several_rows=False)),
    "activations of half the layers": ("qwen, all parts", lambda d: halved(d)),
    "float32 for bfloat16": ("qwen, autocast", lambda d: replace(d, how=replace(d.how, products=4))),
    "adapters as if in full": (
        "idefics3, adapters, bfloat16",
        lambda d: replace(d, how=replace(d.how, weights=4, rank=0)),
    ),
}


def halved(found: Demand) -> Demand:
    decoder = replace(found.shapes.decoder, count=found.shapes.decoder.count // 2)
    return replace(found, shapes=replace(found.shapes, decoder=decoder))


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_wrong_estimate_is_seen(mutant, tmp_path):
    name, change = MUTANTS[mutant]
    found = change(demand(Measured(CASES[name]), tmp_path))
    assert abs(planned(found, name) / peak_of(name) - 1) > 0.15


def test_processes_share_out_what_fsdp_shards(tmp_path):
    """Weights, gradients and moments are divided; DDP holds a second copy of the gradients instead."""
    found = demand(Measured(Case()), tmp_path)
    assert least(replace(found, processes=4, sharded=True)) == pytest.approx(least(found) / 4, rel=1e-6)
    alone, ddp = (phases(one, False)["train"] for one in (found, replace(found, processes=4)))
    assert total(ddp) - total(alone) == 4 * found.trained
