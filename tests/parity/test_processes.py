"""Two real processes (gloo) give what one gives: loss and gradients of canned updates, and a run's own samples.

Each launch costs seconds, so a test does all that one launch can show.
"""

import json
import subprocess
import sys

import pytest
import torch
from encoded_groups import gradient_gaps
from parity import canned_updates
from parity.subjects import TOLERANCE, Update, write_checkpoint
from ranks import ranks
from safetensors.torch import load_file

from warmrl.engine.work import COUNTS
from warmrl.testing.run import environment, warmrl, write_recipe

# In bfloat16 a rank's rows are summed in another order, and products round at 2^-9.
BFLOAT16_TOLERANCE = 0.03
SPLITS = {"train": "train", "held": "test"}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


def launched(policy, reference, out):
    """What each of two processes found."""
    for one in ranks(2, str(policy), str(reference), str(out), folder=out, function=canned_updates.main):
        one.assert_success()
    return [load_file(out / f"rank-{rank}-of-2.safetensors") for rank in range(2)]


def update_in(found, at):
    """An update out of a rank's file."""
    own = {name.removeprefix(f"{at}/"): value for name, value in found.items() if name.startswith(f"{at}/")}
    return Update(float(own.pop("loss")), {name: value for name, value in own.items() if name != "scores"})


def gaps(found, expected):
    """Of an update, how far the loss and each gradient is off (see `gradient_gaps`); what is zero in one is in both."""
    zero = {name for name, gradient in expected.gradients.items() if not gradient.any()}
    assert {name for name, gradient in found.gradients.items() if not gradient.any()} == zero
    assert found.gradients.keys() == expected.gradients.keys()
    own, other = ({n: g for n, g in one.gradients.items() if n not in zero} for one in (found, expected))
    worst = max(gradient_gaps(own, other).values()) if own else 0.0
    loss = abs(found.loss - expected.loss) / abs(expected.loss)
    print(f"loss {loss:.1e}, {len(own)} gradients {worst:.1e}", end=", ")
    return loss, worst


def rough_gaps(found, expected):
    """In bfloat16: the same, over all gradients together; a tensor whose gradient nearly cancels has its rounding."""
    names = sorted(expected.gradients)
    assert names == sorted(found.gradients)
    own, other = (torch.cat([one.gradients[name].double().flatten() for name in names]) for one in (found, expected))
    loss, whole = abs(found.loss - expected.loss) / abs(expected.loss), float((own - other).norm() / other.norm())
    print(f"loss {loss:.1e}, gradients {whole:.1e}", end=", ")
    return loss, whole


def test_canned_updates(tmp_path):
    """Loss, every gradient and scored log-probabilities on both ranks; an undone mean over processes is seen."""
    policy = write_checkpoint(tmp_path / "policy", seed=1)
    reference = write_checkpoint(tmp_path / "reference", seed=2)
    together, expected = launched(policy, reference, tmp_path), None
    for name, subject in canned_updates.SUBJECTS.items():
        alone, more = canned_updates.updates(subject, policy, reference)
        expected = alone["mixed"] if name == "fsdp2" else expected
        rough = subject.dtype == "bfloat16"
        tolerance, measured = (BFLOAT16_TOLERANCE, rough_gaps) if rough else (TOLERANCE, gaps)
        for rank, found in enumerate(together):
            share = float(found[f"{name}/share"])
            assert float((found[f"{name}/weights"] - more["weights"]).abs().max()) <= 1e-6
            assert share == 1 if subject.sharding == "none" else 0.4 < share < 0.6
            for case in subject.cases:
                print(f"{name}, {case}, rank {rank}: ", end="")
                assert max(measured(update_in(found, f"{name}/{case}"), alone[case])) <= tolerance
                scores = (found[f"{name}/{case}/scores"] - more[f"{case}/scores"]).abs()
                print(f"scores: {float(scores.max()):.1e}")
                assert float(scores.max()) <= tolerance
    found = update_in(together[0], "fsdp2/mixed")
    mutant = Update(found.loss, {name: gradient / 2 for name, gradient in found.gradients.items()})
    assert gaps(mutant, expected)[1] > 100 * TOLERANCE


def recipe_in(folder):
    """DPO, distillation of which a rule hands one step on, GSPO with more than one draw a step; two steps each."""
    folder.mkdir()
    pairs = [{"prompt": f"{n} ?", "chosen": f"{n} + 1", "rejected": f"{n} + 2 + 3"} for n in range(8)]
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in pairs))
    data = {name: {"use": "pocket_geometry", "split": split, "limit": 8} for name, split in SPLITS.items()}
    data["pairs"] = {"use": "files", "path": str(folder / "pairs.jsonl")}
    cold = {"use": "dpo", "data": "pairs", "loss": "mpo", "steps": 2, "prompts_per_step": 3, "token_budget": 30}
    warm = {"use": "opd", "policy": "base", "data": "train", "steps": 2, "prompts_per_step": 4, "max_tokens": 8,
            "teacher": {"use": "local", "path": "pocket:random-teacher"}, "updates_per_rollout": 2,
            "handoff": {"by": "loss", "on": "held", "at": [1], "floor": {"pass@2": 0.0}, "samples": 2}}  # fmt: skip
    rl = {"use": "grpo", "policy": "warm", "data": "train", "steps": 2, "prompts_per_step": 3, "max_tokens": 24,
          "loss": "gspo", "updates_per_rollout": 3, "resample": 2, "reference_kl": 0.1, "kl_target": 1e-3}  # fmt: skip
    return write_recipe(
        folder, model={"path": "pocket:base"}, data=data, stage={"cold": cold, "warm": warm, "rl": rl},
        sampler={"use": "transformers", "block_size": 2}, eval={"metrics": ["accuracy"], "samples": 2, "max_tokens": 8},
    )  # fmt: skip


def run_by(count, folder):
    """The run folder of the recipe, run by so many processes with a store of its own."""
    recipe = recipe_in(folder)
    outcome = warmrl("run", str(recipe), "--out", "out", "--processes", str(count), folder=folder, seconds=150)
    outcome.assert_success()
    return folder / "out"


def rows(file):
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_a_run(tmp_path):
    """Two processes come up; they train on the same problems and, from the same weights, on the same completions."""
    one, two = (run_by(count, tmp_path / str(count)) for count in (1, 2))
    assert [json.loads((run / "environment.json").read_text())["processes"] for run in (one, two)] == [1, 2]
    ledgers = [rows(run / "ledger.jsonl") for run in (one, two)]
    first, second = ([[problem for problem, _ in row["samples"]] for row in ledger] for ledger in ledgers)
    assert first == second
    chosen = [json.loads((run / "handoffs/warm/handoff.json").read_text()) for run in (one, two)]
    assert chosen[0]["chosen"] == chosen[1]["chosen"]
    losses = [[candidate["values"]["loss"] for candidate in record["candidates"]] for record in chosen]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert [len(ids) for ids in first] == [3, 3, 4, 4, 3, 3]
    assert ledgers[0][:5] == ledgers[1][:5], "later samples are of weights that differ by rounding"
    assert ledgers[0][4]["left_out"]
    for own, other in zip(rows(one / "metrics.jsonl")[:5], rows(two / "metrics.jsonl")[:5], strict=True):
        assert own.keys() == other.keys()
        numbers = [name for name, value in own.items() if isinstance(value, float)]
        assert [own[name] for name in numbers] == pytest.approx([other[name] for name in numbers], rel=1e-4, abs=1e-7)
        counts = [name for name in own if name in COUNTS or name.startswith("flops/")]
        assert len(counts) == 10
        assert [own[name] for name in counts] == [other[name] for name in counts]
    assert own["samples"] > own["completions"], "some were sampled for nothing"
    cold = [json.loads((run / "stages/cold/done.json").read_text())["work"] for run in (one, two)]
    assert cold[0] == cold[1] and cold[0]["flops"]["score"], "the reference's pass is in no step"


def test_too_few_processes_fail_loudly(tmp_path):
    """What `accelerate launch --cpu` does: several were asked for, one came up."""
    recipe = recipe_in(tmp_path / "run")
    command = [sys.executable, "-m", "warmrl", "run", str(recipe), "--out", "out"]
    own = environment(tmp_path) | {"WARMRL_EXPECTED_PROCESSES": "2"}
    done = subprocess.run(command, env=own, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "2 processes were asked for and 1 came up" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert done.stderr.strip().count("\n") < 5
    assert not list(tmp_path.rglob("metrics.jsonl"))
