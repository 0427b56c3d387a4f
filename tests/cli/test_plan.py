"""`warmrl plan`: what it knows of a recipe's resources, what it assumes, and what it refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from published_shapes import folder_of
from rich.console import Console
from tiny_runs import RECIPE

from warmrl.cli import plan as command
from warmrl.cli.plan_tables import duration, memory_table, operations, sentences, size, work_table
from warmrl.cli.run import execute
from warmrl.domain.errors import UsageError
from warmrl.engine import recipe_file, workshop
from warmrl.engine.entries import Entries
from warmrl.engine.forecast.machines import Machine, machine
from warmrl.engine.forecast.report import resources_report
from warmrl.engine.forecast.resources import Resources
from warmrl.engine.progress import Progress
from warmrl.engine.workshop import Workshop
from warmrl.plugin.registry import Registry

ROOT = Path(__file__).parents[2]
QUICK = ROOT / "recipes" / "quickstart.toml"
SEVEN = ["model.dtype=bfloat16", "stage.rl.max_tokens=1024", "eval.max_tokens=1024", "sampler.rows=64"]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WARMRL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return tmp_path / "home"


def look(*sets: str, device: str | None = "cpu", recipe: Path = QUICK) -> dict[str, Any]:
    return command.look(recipe_file.read(recipe, sets), device)


def published(name: str, tmp_path: Path, *sets: str, device: str = "h200") -> dict[str, Any]:
    """GRPO alone on a published checkpoint's config."""
    path = folder_of(name, tmp_path)
    own = [f"model.path={path}", "stage.rl.policy=base", *SEVEN, *sets]
    file = recipe_file.read(ROOT / "recipes" / "grpo_only.toml", own)
    return resources_report(Resources(Entries(file, tmp_path / "store"), machine(device, 1)))


def test_the_quickstart(capsys: pytest.CaptureFixture[str]) -> None:
    found = look()["resources"]
    assert not found["refused"]
    assert not found["warnings"]
    warm, rl = found["stages"]["warm"], found["stages"]["rl"]
    assert {"weights", "moments", "teacher", "teacher's states", "activations"} <= warm["lines"].keys()
    assert rl["lines"]["weights"] == 4 * sum(rl["parameters"].values()) == rl["lines"]["moments"] // 2
    assert rl["peak"] == max(rl["phases"].values()) == sum(rl["lines"].values())
    assert 10 < rl["prompt_tokens"] < 40
    assert rl["seconds"] is None
    assert any("measured on the first 16 problems" in one for one in found["assumptions"])
    assert any("0.4 x `max_tokens` (32)" in one for one in found["assumptions"])
    json.dumps(found)


@pytest.mark.parametrize("width", [80, 120])
def test_tables_fit(width: int, tmp_path: Path) -> None:
    console = Console(width=width, record=True)
    found = published("qwen2.5-vl-7b", tmp_path)
    console.print(memory_table(found))
    console.print(work_table(found))
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= width
    for word in ("weights", "30.9 GiB", "moments", "61.8 GiB", "in all, train", "validation"):
        assert word in text
    assert "…" not in text
    numbered = [one for one in sentences(found) if one[0].isdigit()]
    assert [one.split(".")[0] for one in numbered] == [str(n + 1) for n in range(len(numbered))]


def test_units() -> None:
    assert (size(0), size(512), size(3 * 2**20), size(200 * 2**30)) == ("", "512 B", "3.0 MiB", "200 GiB")
    assert (operations(0), operations(2.5e15)) == ("", "2.5 P")
    assert [duration(one) for one in (None, 5, 90, 7200, 3e6)] == ["?", "5 s", "1.5 min", "2 h", "35 d"]


def test_what_does_not_fit_is_refused_with_what_would_help(tmp_path: Path) -> None:
    (sentence,) = published("qwen2.5-vl-7b", tmp_path)["refused"]
    for words in ("`stage.rl` does not fit", "moments 61.8 GiB", "weights 30.9 GiB", "131.3 GiB of h200",
                  "`lora = { rank = 64 }`", 'sharding = "fsdp2"` with 2 processes'):  # fmt: skip
        assert words in sentence
    assert not published("qwen2.5-vl-7b", tmp_path, "stage.rl.lora.rank=64", 'stage.rl.train=["language"]')["refused"]
    small = published("qwen2.5-vl-7b", tmp_path, "stage.rl.lora.rank=64", device="rtx4090")["refused"]
    assert "`suite.validation` does not fit" not in small[0]


def test_the_command_refuses_after_its_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder_of("qwen2.5-vl-7b", tmp_path)
    file = recipe_file.read(ROOT / "recipes" / "grpo_only.toml", [f"model.path={path}", *SEVEN])
    with pytest.raises(UsageError, match="does not fit"):
        command.show_plan(file, None, as_json=False, device="a100")
    assert "moments" in capsys.readouterr().out
    with pytest.raises(UsageError, match="does not fit"):
        command.show_plan(file, None, as_json=True, device="a100")
    assert json.loads(capsys.readouterr().out)["resources"]["refused"]


def test_recomputing_is_planned_when_it_is_needed(tmp_path: Path) -> None:
    lora = ["stage.rl.lora.rank=64", 'stage.rl.train=["language"]', "stage.rl.token_budget=8192"]
    roomy, tight = (published("qwen2.5-vl-7b", tmp_path, *lora, device=name) for name in ("h200", "l40s"))
    assert not roomy["stages"]["rl"]["recomputes"]
    assert tight["stages"]["rl"]["recomputes"]
    assert tight["stages"]["rl"]["peak"] < roomy["stages"]["rl"]["peak"]


def test_time_is_that_of_the_operations(tmp_path: Path) -> None:
    """GRPO on 7B, by hand: 6 operations a weight and token, 8 with recomputing, at 40 % of the peak."""
    found = published("qwen2.5-vl-7b", tmp_path, "stage.rl.gradient_checkpointing=on", 'stage.rl.train=["language"]')
    rl = found["stages"]["rl"]
    completions = 16 * 8 * rl["completion_tokens"]
    by_hand = 8 * 6.525e9 * rl["tokens_per_step"] + 6 * 0.545e9 * completions
    assert rl["flops_per_step"]["train"] == pytest.approx(by_hand, rel=0.1)
    assert rl["seconds"] > 180 * rl["flops_per_step"]["train"] / (0.4 * 989e12)


def test_an_unknown_device_is_refused() -> None:
    with pytest.raises(UsageError, match="`--device gtx` is not known; there are: cpu, h200"):
        look(device="gtx")


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("stage.warm.teacher.path=./nowhere/at/all", "`stage.warm.teacher`: `./nowhere/at/all` is no folder"),
        ("stage.warm.teacher.path=pocket:nobody", "`stage.warm.teacher`: There is no checkpoint `pocket:nobody`"),
        ("model.path=./nowhere/at/all", "`model.path`: `./nowhere/at/all` is no folder"),
    ],
)
def test_a_model_that_is_nowhere_is_refused(setting: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        look(setting)


def test_a_run_refuses_a_teacher_that_is_nowhere_before_anything_is_spent(home: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    file = recipe_file.read(QUICK, [f"stage.warm.teacher.path={tmp_path / 'empty'}"])
    with pytest.raises(UsageError, match=r"`stage.warm.teacher`: .*empty is no checkpoint: it has no .safetensors"):
        execute(file, home / "run", lambda: 0, None, allow_code=False)
    assert not home.exists()


def test_a_teacher_of_other_tokens_is_refused(tmp_path: Path) -> None:
    from warmrl.engine.checkpoints import find

    folder = Path(find("pocket:teacher", None, Registry.installed()).path)
    shutil.copytree(folder, tmp_path / "teacher")
    file = tmp_path / "teacher" / "tokenizer.json"
    table = json.loads(file.read_text())
    known = table["model"]["vocab"]
    first, second = [token for token in known if token.isalnum()][:2]
    known[first], known[second] = known[second], known[first]
    file.write_text(json.dumps(table))
    with pytest.raises(UsageError, match=r"`stage.warm.teacher`: .* does not speak the student's tokens: 2 differ"):
        look(f"stage.warm.teacher.path={tmp_path / 'teacher'}")


def test_a_hub_id_that_is_not_here_is_said(tmp_path: Path) -> None:
    found = look("model.path=nobody/nothing-7b")
    assert not found["resources"]["stages"]
    assert any("`model.path` is `nobody/nothing-7b`" in one for one in found["resources"]["unknown"])
    assert all("weights of a model or teacher are not here" in one["why"] for one in found["stages"])


def test_a_run_refuses_what_cannot_fit_at_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Weights, gradients and moments alone are more than there is; with room for them a run begins."""
    entries = Entries(recipe_file.read(RECIPE), tmp_path / "store")
    for room, fits in ((1 << 20, False), (1 << 24, True)):
        monkeypatch.setattr(workshop, "machine", lambda *_, room=room: Machine("toy", room, fused_update=False))
        if fits:
            Workshop(entries, Progress(), lambda *_: None, lambda: 0, False).close()
        else:
            with pytest.raises(UsageError, match="cannot fit: weights, gradients and the optimizer's moments alone"):
                Workshop(entries, Progress(), lambda *_: None, lambda: 0, False)


def test_what_is_there_is_not_planned(home: Path) -> None:
    """Lengths of a stage that was begun are measured; a stage that is done takes nothing."""
    file = recipe_file.read(QUICK)
    begun = Entries(file, home / "store").stage_folder("rl")
    begun.mkdir(parents=True)
    (begun / "metrics.jsonl").write_text('{"step": 1, "length": 10.0}\n{"step": 2, "length": 12.0}\n')
    found = look()["resources"]
    assert found["stages"]["rl"]["completion_tokens"] == 11
    assert any("completions of 11 tokens were measured in its 2 steps" in one for one in found["assumptions"])
