"""A run resumes to the same bytes wherever it stops, reuses what is done, and never trusts a damaged checkpoint."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tiny_runs import Home

from warmrl.domain.errors import WarmrlError
from warmrl.engine.following import Run
from warmrl.engine.storage import MANIFEST


def test_a_run_says_what_it_made(whole: Home) -> None:
    run = whole.path / "run"
    state = json.loads((run / "run.json").read_text())
    assert state["state"] == "finished" and list(state["stages"]) == ["warm", "rl"]
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [(row["stage"], row["step"]) for row in rows] == [("warm", s) for s in (1, 2, 3)] + [
        ("rl", s) for s in (1, 2, 3)
    ]
    assert all(0 < row["entropy"] < 4 for row in rows)
    assert not any("second" in key or "time" in key for row in rows for key in row)
    scores = json.loads((run / "evaluations" / "rl@2.validation" / "scores.json").read_text())
    assert len(scores["metrics"]["pass@4"]["values"]) == 8
    assert (run / "report.html").stat().st_size > 100_000


def test_a_run_says_why_it_ended_early(stopped: Callable[[int], Path], home: Home) -> None:
    """Stopped by a signal, or failed of something that nobody foresaw; the next start goes on from either."""
    state = json.loads((stopped(5) / "run" / "run.json").read_text())
    assert state["state"] == "stopped" and "signal 15" in state["error"] and state["ended"] >= state["started"]

    def broken() -> int:
        raise RuntimeError("a plugin's own mistake")

    with pytest.raises(RuntimeError):
        home.run(stopping=broken)
    found = Run(home.path / "run")
    found.poll()
    assert (found.state, found.error) == ("failed", "RuntimeError: a plugin's own mistake")


def test_a_stage_says_what_it_took(whole: Home) -> None:
    """Prompts and samples as the recipe has them; tokens are the ledger's and the rollouts'. The two agree on resumed
    runs, whose rows of metrics are the same bytes.
    """
    stages = whole.path / "run" / "stages"
    warm, rl = (json.loads((stages / name / "done.json").read_text())["work"] for name in ("warm", "rl"))
    rows = {name: journal(stages / name / "metrics.jsonl") for name in ("warm", "rl")}
    assert [warm[name] for name in ("prompts", "samples", "updates")] == [3 * 4, 3 * 4 * 2, 3]
    assert [rl[name] for name in ("prompts", "samples", "teacher_tokens")] == [3 * 4, 3 * 4 * 4, 0]
    sampled = {name: sum(row["tokens"] for row in rows[name]) for name in rows}
    assert warm["sampled_tokens"] == warm["trained_tokens"] == warm["teacher_tokens"] == sampled["warm"]
    assert rl["sampled_tokens"] == rl["trained_tokens"] == sampled["rl"], "the reference makes every group informative"
    assert rl["updates"] == 6
    for work, name in ((warm, "warm"), (rl, "rl")):
        assert work["flops"] == {one: sum(row[f"flops/{one}"] for row in rows[name]) for one in work["flops"]}
        assert work["flops"]["train"] == 3 * work["flops"]["sample"], "the same tokens, and nothing frozen"
    assert warm["flops"]["score"] == rl["flops"]["teacher"] == 0 < warm["flops"]["teacher"]
    assert rl["flops"]["score"] == 2 * rl["flops"]["sample"], "the old policy and the reference"
    report = json.loads((whole.path / "run" / "report.json").read_text())
    assert [stage["work"] for stage in report["stages"]] == [warm, rl]


def test_a_stage_of_an_older_warmrl_is_not_counted(whole: Home, tmp_path: Path) -> None:
    copy = Home(tmp_path / "copy")
    shutil.copytree(whole.path, copy.path, symlinks=True)
    done = copy.path / "run" / "stages" / "rl" / "done.json"
    record = json.loads(done.read_text())
    del record["work"]
    done.write_text(json.dumps(record))
    copy.run()
    report = json.loads((copy.path / "run" / "report.json").read_text())
    assert [bool(stage["work"]) for stage in report["stages"]] == [True, False]
    assert "| rl | grpo | warm | 3 | not counted |" in (copy.path / "run" / "report.md").read_text()


def journal(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_training_moves_the_policy(whole: Home) -> None:
    warm, rl = (load_file(whole.path / f"run/stages/{stage}/policy/model.safetensors") for stage in ("warm", "rl"))
    assert any(not torch.equal(warm[name], rl[name]) for name in warm)


def test_the_same_recipe_again_is_all_reused(whole: Home) -> None:
    before = whole.digests()
    again = whole.run()
    assert (again.done, again.reused) == ([], ["warm", "rl"])
    assert whole.digests() == before
    assert json.loads((whole.path / "run" / "environment.json").read_text())["devices"]  # that it was made on


def test_a_second_run_elsewhere_gives_the_same_bytes(whole: Home, home: Home) -> None:
    home.run()
    assert home.digests() == whole.digests()


def test_only_what_depends_on_a_change_is_done_again(whole: Home, tmp_path: Path) -> None:
    copy = Home(tmp_path / "copy")
    shutil.copytree(whole.path, copy.path, symlinks=True)
    changed = copy.run(["stage.rl.clip_high=0.25"])
    assert (changed.done, changed.reused) == (["rl"], ["warm"])
    free = copy.run(["stage.rl.clip_high=0.25", "stage.warm.token_budget=9999", "stage.warm.checkpoint_every=2"])
    assert free.done == []
    measured = copy.run(["stage.rl.clip_high=0.25", "eval.metrics=['pass@2']"])
    assert measured.done == []


@pytest.mark.parametrize("calls", [1, 19, 20, 40, 42])
def test_a_stopped_run_goes_on_to_the_same_bytes(calls: int, whole: Home, interrupted: Callable[..., Home]) -> None:
    found = interrupted(calls)
    found.run()
    assert found.digests() == whole.digests()


DAMAGES: dict[str, Callable[[Path], object]] = {
    "no state": lambda c: (c / "state.json").unlink(),
    "truncated weights": lambda c: (c / "weights.safetensors").write_bytes(
        (c / "weights.safetensors").read_bytes()[:-100]
    ),
    "truncated optimizer": lambda c: (c / "optimizer.safetensors").write_bytes(
        (c / "optimizer.safetensors").read_bytes()[:1000]
    ),
    "empty state": lambda c: (c / "state.json").write_text(""),
    "empty folder": lambda c: [one.unlink() for one in c.iterdir()],
    "no optimizer, no method state": lambda c: [
        (c / name).unlink() for name in ("optimizer.safetensors", "method.safetensors")
    ],
    "no method state": lambda c: (c / "method.safetensors").unlink(),
    "a flipped bit in the weights": lambda c: flip(c / "weights.safetensors"),
    "a flipped bit in the manifest": lambda c: flip(c / MANIFEST),
}


def flip(file: Path) -> None:
    """Flip one bit in the middle."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 4
    file.write_bytes(content)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_named_and_passed_over(
    damage: str, whole: Home, interrupted: Callable[..., Home], caplog: pytest.LogCaptureFixture
) -> None:
    found = interrupted(40)
    older, newest = found.checkpoints()
    DAMAGES[damage](newest)
    with caplog.at_level(logging.WARNING, logger="warmrl"):
        found.run()
    assert str(newest) in caplog.text and str(older) not in caplog.text
    assert found.digests() == whole.digests()


def test_journals_that_were_changed_are_noticed(
    whole: Home, interrupted: Callable[..., Home], caplog: pytest.LogCaptureFixture
) -> None:
    found = interrupted(40)
    metrics = found.checkpoints()[0].parent.parent / "metrics.jsonl"
    metrics.write_bytes(b"[" + metrics.read_bytes()[1:])
    with caplog.at_level(logging.WARNING, logger="warmrl"):
        found.run()
    assert "`metrics.jsonl`" in caplog.text
    assert found.digests() == whole.digests()


def test_a_loss_that_is_no_number_stops_before_the_weights(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    from warmrl.engine import training

    real = training.measure

    def poisoned(sums: dict[str, float], *rest: object) -> None:
        real(sums, *rest)
        sums["loss"] = float("nan")

    monkeypatch.setattr(training, "measure", poisoned)
    with pytest.raises(WarmrlError, match=r"step 0.*loss is nan.*pocket_geometry"):
        home.run()
    assert not list(home.path.glob("store/*/policy"))


def test_results_do_not_move_without_a_revision(whole: Home) -> None:
    """Golden numbers, to 4 digits (other processors round differently). When this fails and should, raise
    `ENGINE_REVISION` (or the plugin's revision) and write the numbers again."""
    rows = [json.loads(line) for line in (whole.path / "run" / "metrics.jsonl").read_text().splitlines()]
    found = [[row["stage"], row["step"], float(f"{row['loss']:.4g}"), float(f"{row['entropy']:.4g}")] for row in rows]
    golden = json.loads((Path(__file__).parent / "golden.json").read_text())
    assert found == [[s, n, pytest.approx(a, rel=2e-3, abs=1e-6), pytest.approx(b, rel=2e-3)] for s, n, a, b in golden]
