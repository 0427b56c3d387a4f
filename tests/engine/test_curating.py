"""A curator that is stopped goes on with the next block, and ends with the same problems."""

import json
from pathlib import Path

import pytest
from tiny_runs import Home, stop_after

from warmrl.domain.errors import Interrupted

RECIPE = Path(__file__).parents[2] / "recipes" / "sft_teacher_then_grpo.toml"
SMALL = [
    "eval.at=['warm']", "suite.validation.limit=1", "suite.charts.limit=1", "eval.samples=2", "eval.max_tokens=4",
    "eval.metrics=['accuracy']", "data.warmup.limit=9", "sampler.block_size=2", "stage.traces.max_tokens=24",
    "stage.warm.steps=1", "stage.warm.prompts_per_step=2", "stage.rl.steps=1", "stage.rl.prompts_per_step=1",
    "stage.rl.max_tokens=4",
]  # fmt: skip


def curated(home: Home) -> list[dict]:
    (file,) = home.path.glob("store/*/problems.jsonl")
    return [json.loads(line) for line in file.read_text().splitlines()]


@pytest.mark.slow
def test_stopped_between_blocks(tmp_path):
    whole, stopped = Home(tmp_path / "whole", RECIPE), Home(tmp_path / "stopped", RECIPE)
    whole.run(SMALL)
    with pytest.raises(Interrupted, match="4 of 9 problems done"):
        stopped.run(SMALL, stopping=stop_after(2))
    first, second = sorted((stopped.path / "store").glob("*/blocks/*.jsonl"))
    row = json.loads(first.read_text().splitlines()[0])
    first.write_text(json.dumps({**row, "solutions": ["read back"]}) + "\n")  # to see that it isn't made again
    stopped.run(SMALL)
    assert curated(stopped)[0]["solution"] == "read back"
    assert curated(stopped)[-1] == curated(whole)[-1]
    assert not first.exists()
    assert not second.exists()
