"""A whole recipe in shards (FSDP2), interrupted and gone on with by other numbers of processes.

Supervised fine-tuning with early stopping, distillation into adapters, GRPO against a reference; each launch costs
seconds, so one recipe has them all.
"""

import json
import shutil
import signal
import time

import pytest
from parity import resumed
from ranks import ranks
from safetensors.torch import load_file

from warmrl.testing.run import start, write_recipe

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SECONDS = 240
SHARDED = ("--set", "launch.sharding=fsdp2")


def recipe_in(folder):
    folder.mkdir(parents=True, exist_ok=True)
    common = {"data": "train", "steps": 2, "prompts_per_step": 4, "checkpoint_every": 1, "learning_rate": 1e-3}
    cold = {"use": "sft", "policy": "base", "train": ["language"], "hold_out": 0.25, "check_every": 1, **common}
    warm = {"use": "opd", "policy": "cold", "teacher": {"use": "local", "path": "pocket:random-teacher"},
            "lora": {"rank": 2, "alpha": 4}, "updates_per_rollout": 2, "max_tokens": 8, **common}  # fmt: skip
    rl = {"use": "grpo", "policy": "warm", "reference_kl": 0.04, "max_tokens": 8, **common}
    return write_recipe(
        folder, model={"path": "pocket:random"}, stage={"cold": cold, "warm": warm, "rl": rl},
        sampler={"use": "transformers", "block_size": 2},
        eval={"at": ["warm"], "metrics": ["accuracy"], "samples": 2, "max_tokens": 8},
    )  # fmt: skip


def begin(folder, count, *more):
    recipe = recipe_in(folder)
    return start("run", str(recipe), "--out", "out", "--processes", str(count), *more, folder=folder)


def finish(process):
    """What a run that ends well said."""
    try:
        out, err = process.communicate(timeout=SECONDS)
    finally:
        process.kill()
    assert process.returncode == 0, err[-4000:]
    return out


def interrupted(folder, count, *more):
    """A run stopped by SIGTERM in its first step; the folder of the stage that it was in."""
    process = begin(folder, count, *more)
    until = time.monotonic() + SECONDS
    while not list(folder.glob("home/store/*/key.json")) and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 143, err[-4000:]
    assert "Traceback" not in err
    (checkpoint,) = folder.glob("home/store/*/checkpoints/step-000001")
    return checkpoint.parents[1]


def copy_of(folder, name):
    """Another run of the same state."""
    return shutil.copytree(folder, folder.parent / name, symlinks=True)


def rows(file):
    return [json.loads(line) for line in file.read_text().splitlines()]


def agree(folder, whole):
    """Nothing was lost or done twice, and the policies are the same up to the rounding of sums in another order."""
    ledgers = [rows(one / "out" / "ledger.jsonl") for one in (folder, whole)]
    asked = [[[problem for problem, _ in row["samples"]] for row in ledger] for ledger in ledgers]
    assert [len(problems) for problems in asked[0]] == [4] * 6
    assert asked[0] == asked[1]
    assert ledgers[0][:3] == ledgers[1][:3], "later samples are of weights that differ by rounding"
    for stage in ("cold", "warm", "rl"):
        own, other = (load_file(one / f"out/stages/{stage}/policy/model.safetensors") for one in (folder, whole))
        assert own.keys() == other.keys()
        gap = max(float((own[name] - other[name]).abs().max()) for name in own)
        print(f"{folder.name}, {stage}: {gap:.1e}")
        assert gap < 3e-4  # AdamW turns rounding of a gradient near zero into a share of its steps, 1e-3 each


def weights_in(stage):
    """The bytes of a stage's checkpoint."""
    return [
        (stage / "checkpoints/step-000001" / f"{name}.safetensors").read_bytes() for name in ("weights", "optimizer")
    ]


def test_shards_and_other_numbers_of_processes(tmp_path):
    """A checkpoint of two goes on by one and by four: to the bit what was written, and the run that was to be."""
    finish(begin(tmp_path / "alone", 1))
    stage = interrupted(tmp_path / "two", 2, *SHARDED)
    assert json.loads((tmp_path / "two/out/environment.json").read_text())["sharding"] == "fsdp2"
    one, four, read = (copy_of(tmp_path / "two", name) for name in ("one", "four", "read"))
    folder = read / stage.relative_to(tmp_path / "two")
    resumed.again(str(folder))
    assert weights_in(folder) == weights_in(stage), "what two wrote is what one has"
    for done in ranks(4, str(folder), folder=read, function=resumed.again):
        done.assert_success()
    assert weights_in(folder) == weights_in(stage), "what one wrote is what four have"
    found = load_file(stage / "checkpoints/step-000001/optimizer.safetensors")
    assert any(value.any() for name, value in found.items() if name.endswith("exp_avg_sq"))
    finish(begin(one, 1))
    for done in ranks(4, "run", str(recipe_in(four)), "--out", "out", *SHARDED, folder=four):
        done.assert_success()
    for run in (one, four):
        agree(run, tmp_path / "alone")
