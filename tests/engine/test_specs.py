"""The recipe `specs` at its smallest: a branch of stages, pairs of two policies, and what is made once and reused."""

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file
from tiny_runs import Home

from warmrl.engine.checkpoints import find
from warmrl.plugin.registry import Registry

RECIPE = Path(__file__).parents[2] / "recipes" / "specs.toml"
SMALL = [
    "stage.zero.steps=1", "stage.zero.prompts_per_step=2", "stage.pairs.samples_per_prompt=8", "data.warmup.limit=12",
    "data.train.limit=12", "stage.cold.prompts_per_step=4", "stage.cold.steps=2", "stage.rl.steps=1",
    "stage.rl.prompts_per_step=2", "eval.at=['base', 'cold@1']", "eval.metrics=['format']", "eval.samples=1",
    "eval.generalization.metric='format'", "eval.bootstrap=200", "suite.validation.limit=2", "suite.charts.limit=1",
]  # fmt: skip


@pytest.mark.slow
def test_the_whole_chain(tmp_path):
    home = Home(tmp_path, RECIPE)
    first = home.run(SMALL)
    assert first.done == ["zero", "pairs", "cold", "rl"]
    run = tmp_path / "run"
    base = load_file(Path(find("pocket:base", None, Registry.installed()).path) / "model.safetensors")
    cold, rl = (load_file(run / "stages" / name / "policy" / "model.safetensors") for name in ("cold", "rl"))
    assert any((one != base[name]).any() for name, one in cold.items())
    assert any((one != cold[name]).any() for name, one in rl.items())
    rows = [json.loads(line) for line in (run / "stages" / "pairs" / "problems.jsonl").read_text().splitlines()]
    assert {row["extra"]["chosen_from"]["checkpoint"] for row in rows} == {"zero"}
    assert {row["extra"]["rejected_from"]["checkpoint"] for row in rows} <= {"base", "zero"}
    steps = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    margins = [row["rewards/margin"] for row in steps if row["stage"] == "cold"]
    assert margins[0] == 0.0  # before the first update the policy is its reference
    assert margins[1] > 0.0
    again = home.run([*SMALL, "stage.rl.steps=2"])
    assert again.reused == ["zero", "pairs", "cold"]
