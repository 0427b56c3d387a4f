"""GRPO's variants in real runs on the pocket: each ends well, and a killed one goes on to the same bytes."""

import json
from pathlib import Path

import pytest
from tiny_runs import Home

from warmrl.domain.errors import Interrupted
from warmrl.testing.run import write_recipe

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

STAGE = {"use": "grpo", "policy": "base", "steps": 2, "prompts_per_step": 2, "samples_per_prompt": 4, "max_tokens": 24,
         "learning_rate": 1.5e-4, "checkpoint_every": 1}  # fmt: skip
# The first has a cursor and a controller, whose state is not what it started with when it is interrupted.
STAGES = {
    "gspo": {"loss": "gspo", "steps": 3, "updates_per_rollout": 2, "resample": 2, "reference_kl": 0.1,
             "kl_target": 1e-3, "kl_horizon": 50.0, "schedule": "cosine", "min_learning_rate": 5e-5},
    "dapo": {"loss": "dapo", "resample": 1, "entropy_bonus": 1e-2},
    "dr_grpo": {"loss": "dr_grpo"},
    "cispo": {"loss": "cispo", "updates_per_rollout": 2},
}  # fmt: skip


def home(folder: Path, *names: str) -> Home:
    """Runs of some of the stages."""
    folder.mkdir()
    stages = {name: {**STAGE, **STAGES[name]} for name in names}
    evaluated = {"at": ["base"], "metrics": ["accuracy"], "samples": 1, "max_tokens": 8}
    return Home(folder, write_recipe(folder, stage=stages, eval=evaluated))


def journal(home: Home, name: str) -> list[dict]:
    return [json.loads(line) for line in (home.path / "run" / name).read_text().splitlines()]


def test_killed_they_go_on_to_the_same_bytes(tmp_path: Path) -> None:
    whole, killed = home(tmp_path / "whole", *STAGES), home(tmp_path / "killed", "gspo")
    whole.run()
    with pytest.raises(Interrupted):
        killed.run(stopping=lambda: 15 * bool(killed.checkpoints()))
    newest = json.loads((killed.checkpoints()[-1] / "state.json").read_text())
    assert newest["method"]["draws"] > newest["step"] == 2
    assert newest["method"]["reference_kl"] != 0.1
    killed.run()
    policy = "stages/gspo/policy/model.safetensors"
    assert killed.digests()[policy] == whole.digests()[policy]
    rows, ledger = journal(whole, "metrics.jsonl"), journal(whole, "ledger.jsonl")
    assert (journal(killed, "metrics.jsonl"), journal(killed, "ledger.jsonl")) == (rows[:3], ledger[:3])
    assert [row["stage"] for row in rows] == ["gspo"] * 3 + ["dapo"] * 2 + ["dr_grpo"] * 2 + ["cispo"] * 2
    coefficients = [row["kl_coefficient"] for row in rows[:3]]
    assert coefficients[0] == 0.1 and len(set(coefficients)) == 3
    assert [len(row.get("left_out", [])) + 2 for row in ledger[:5]] == [row["drawn"] for row in rows[:5]]
