"""Sizes and memory of published checkpoints from their configs alone, beside published and computed figures."""

from __future__ import annotations

from pathlib import Path

import pytest
from published_shapes import CONFIGS, folder_of

from warmrl.domain.errors import UsageError
from warmrl.domain.recipe import ModelTable
from warmrl.domain.stages import LoRATable, MethodConfig
from warmrl.engine.forecast.machines import KNOWN
from warmrl.engine.forecast.memory import Demand, least
from warmrl.engine.forecast.outline import Outline, outline
from warmrl.engine.forecast.stage import trained, training
from warmrl.packed.memory import Lengths, Training, activations
from warmrl.plugin.registry import Registry

# What `model.safetensors.index.json` of 7B says (16,584,333,312 bytes in bfloat16), and the Hub of the others.
PUBLISHED = {"qwen2.5-vl-3b": 3_754_622_976, "qwen2.5-vl-7b": 16_584_333_312 // 2, "qwen3-vl-8b": 8_767_123_696}
H200 = KNOWN["h200"]
LANGUAGE = frozenset({"language"})


def known(name: str, place: Path) -> Outline:
    folder = str(folder_of(name, place))
    found = outline(folder, None, ModelTable(path=folder, dtype="bfloat16"), Registry.installed())
    assert found is not None
    return found


def demand(model: Outline, lora: LoRATable | None = None) -> Demand:
    config = MethodConfig(lora=lora, train=["language"] if lora else ["language", "projector", "vision"])
    how = training(config, model, "bfloat16", H200)
    return Demand(model.shapes, how, Lengths(1, 1, 1, 1, 0), trained(config, model)[0], several_rows=True)


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters(name, tmp_path):
    assert known(name, tmp_path).shapes.total == PUBLISHED[name]


def test_parameters_of_72b_by_hand(tmp_path):
    """No published count is at hand that this could be held against: summed by hand from the config."""
    found, hidden, inner = known("qwen2.5-vl-72b", tmp_path).shapes.parameters, 8192, 29568
    attention = 2 * hidden * hidden + hidden + 2 * (hidden * 1024 + 1024)
    assert found["language"] == 80 * (attention + 3 * hidden * inner + 2 * hidden) + hidden
    assert found["head"] == found["embedding"] == 152064 * hidden


@pytest.mark.parametrize("name", ["qwen2.5-vl-3b", "qwen2.5-vl-7b"])
def test_full_fine_tuning_is_18_bytes_a_parameter(name, tmp_path):
    """LLaMA-Factory's table of hardware (README, "Full (bf16 or fp16)"): 18 bytes a parameter, without activations."""
    found = demand(known(name, tmp_path))
    assert least(found) == 16 * found.shapes.total
    assert least(found) + found.copies() == pytest.approx(18 * found.shapes.total, rel=0.15)


@pytest.mark.parametrize("name", ["qwen2.5-vl-3b", "qwen2.5-vl-7b"])
def test_lora_is_2_bytes_a_parameter_and_the_adapters(name, tmp_path):
    """The same table, LoRA at 16 bits: 2 bytes a parameter, the adapters left out. At rank 8 they hardly count; at
    rank 64 they add 16 bytes for each of 161 million to 7B, 16 % that the table has nothing for."""
    found = demand(known(name, tmp_path), LoRATable(rank=8, alpha=16))
    assert found.held()["weights"] == pytest.approx(2 * found.shapes.total, rel=0.02)
    assert least(found) == pytest.approx(2 * found.shapes.total, rel=0.15)


def test_activations_of_7b(tmp_path):
    """5.2 MB a token and 18 GiB for 434 + 8 x 400 tokens: every tensor of a layer once, in bfloat16, all else left out.

    Our estimate is more than that, and not comparable: under autocast torch keeps a norm's input in float32 and a copy
    of it for every matrix that reads it, and completions keep gathered copies of their prompt's keys and values.
    """
    shapes = known("qwen2.5-vl-7b", tmp_path).shapes
    decoder, tokens = shapes.decoder, 434 + 8 * 400
    numbers = 4 * decoder.intermediate + 4 * decoder.hidden + 2 * decoder.queries + 2 * decoder.keys
    once = 2 * decoder.count * numbers
    assert once == pytest.approx(5.2e6, rel=0.15)
    assert tokens * once == pytest.approx(18 * 2**30, rel=0.15)
    row = Lengths(tokens, tokens, 434 + 8 * 834, 8 * 400, 0)
    kept = activations(shapes, row, Training(LANGUAGE, 64, 2, 2)).kept
    wide = 2 * 2 * decoder.hidden  # of two norms, what float32 adds
    copies = 2 * (3 * decoder.hidden + decoder.queries + 64 * 7)  # five readers instead of two, outputs in their order
    gathered = 2 * 2 * decoder.keys * (row.keys - tokens) * decoder.count
    assert kept == pytest.approx(tokens * (once + decoder.count * (wide + copies)) + gathered, rel=0.05)


def test_a_family_that_the_core_refuses_is_refused_by_its_config(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "phi", "num_hidden_layers": 2, "hidden_size": 64}')
    with pytest.raises(UsageError, match="`phi` is not supported: its output head has a bias"):
        outline(str(tmp_path), None, ModelTable(path=str(tmp_path)), Registry.installed())


def test_every_config_is_read_without_weights(tmp_path):
    for name in CONFIGS:
        assert {p.device.type for p in known(name, tmp_path).policy.model.parameters()} == {"meta"}
