"""A curator that is stopped goes on with the next block, and ends with the same problems; what its files hold."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from tiny_runs import Home, stop_after

from warmrl.domain.errors import Interrupted
from warmrl.domain.problem import Problem
from warmrl.engine.curating import in_blocks, keep_curated
from warmrl.engine.work import Tally

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


def stage_in(folder: Path, names: str) -> SimpleNamespace:
    alone = SimpleNamespace(world=1, first=True, agree=lambda value: value, gather=list, wait=lambda: None)
    place = {"folder": folder, "sampling": SimpleNamespace(block_size=2), "stopping": lambda: 0, "processes": alone}
    problems = [Problem(name, (), gold="") for name in names]
    return SimpleNamespace(name="stage", problems=problems, findings=[], funnel=[], work=Tally(), **place)


def test_a_block_is_read_back_for_its_own_problems(tmp_path):
    """An earlier pass that comes out otherwise leaves another list, with blocks at the same places."""
    made = []

    def make(problems):
        made.append("".join(one.id for one in problems))
        return [{"id": one.id} for one in problems]

    def passed(names):
        made.clear()
        stage = stage_in(tmp_path, names)
        return "".join(row["id"] for row in in_blocks(stage, make, stage.problems)), list(made)

    assert passed("abcd") == ("abcd", ["ab", "cd"])
    assert passed("abcd") == ("abcd", [])
    assert passed("abde") == ("abde", ["de"])
    assert passed("ba") == ("ba", ["ba"])


def test_half_a_surrogate_pair_is_kept(tmp_path):
    stage, text = stage_in(tmp_path, "a"), "so \ud83d"
    for _ in range(2):
        assert in_blocks(stage, lambda some: [{"text": text}], stage.problems) == [{"text": text}]
    keep_curated(stage, [Problem("a/0", (), gold="", solution=text, extra={"source": "a"})], 0.0)
    assert json.loads((tmp_path / "problems.jsonl").read_text())["solution"] == text


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
    took = [json.loads((home.path / "run/stages/traces/done.json").read_text())["work"] for home in (whole, stopped)]
    assert took[0] == took[1] and (took[0]["prompts"], took[0]["samples"]) == (9, 0)
    assert took[0]["teacher_tokens"] >= sum(len(row["solution"].split()) for row in curated(whole))
    assert took[0]["flops"]["teacher"] and not took[0]["flops"]["train"]
    assert not first.exists()
    assert not second.exists()
