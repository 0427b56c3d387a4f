"""`warmrl export`: what is written loads in transformers and peft with the run's numbers, whole or not at all."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
import transformers
from huggingface_hub import ModelCard
from peft import PeftModel
from safetensors.torch import load_file
from tiny_runs import Home
from transformers import AutoModelForImageTextToText, AutoProcessor
from typer.testing import CliRunner

from warmrl.cli.main import app
from warmrl.domain.errors import UsageError
from warmrl.engine import export, recipe_file
from warmrl.engine.checkpoints import find
from warmrl.engine.entries import Entries
from warmrl.engine.experiment import Experiment
from warmrl.engine.policy import Policy
from warmrl.engine.progress import Progress
from warmrl.engine.run_folder import RunFolder
from warmrl.plugin.registry import Registry

# The warm start trains everything, RL trains adapters; two steps each, the first of RL's kept.
SMALL = [
    "stage.warm.steps=1", "stage.rl.steps=2", "stage.rl.train=['language']", "stage.rl.lora={rank=4,alpha=8}",
    "stage.rl.learning_rate=0.05", "eval.at=['warm', 'rl@1', 'rl']", "suite.charts.limit=1", "suite.validation.limit=4",
    "eval.metrics=['accuracy', 'entropy']", "eval.bootstrap=200",
]  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    found = Home(tmp_path_factory.mktemp("export"))
    found.run(SMALL)
    return found


def exported(home: Home, stage: str, to: Path, **options: object) -> Path:
    return export.export_policy(f"{home.path / 'run'}#{stage}", to, **{"merge": True, "dtype": None, **options}).folder


def logits(model: torch.nn.Module, processor: object) -> torch.Tensor:
    """`[1, T, V]` of a prompt with a figure."""
    import PIL.Image

    picture = PIL.Image.effect_noise((64, 64), 80).convert("RGB")
    torch.manual_seed(0)
    content = [{"type": "image", "image": picture}, {"type": "text", "text": "area of circle ?"}]
    inputs = processor.apply_chat_template(
        [{"role": "user", "content": content}], tokenize=True, return_dict=True, return_tensors="pt"
    )
    inputs["pixel_values"] = torch.rand(inputs["pixel_values"].shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return model(**inputs).logits


def loaded(folder: Path) -> tuple[torch.nn.Module, object]:
    return AutoModelForImageTextToText.from_pretrained(folder).eval(), AutoProcessor.from_pretrained(folder)


def policy_of(home: Home, name: str) -> Policy:
    return Policy.load(find(f"{home.path / 'run'}#{name}", None, Registry.installed()))


@pytest.mark.parametrize("stage", ["warm", "rl", "rl@1"])
def test_the_logits_are_the_policys(home: Home, tmp_path: Path, stage: str) -> None:
    policy = policy_of(home, stage)
    model, processor = loaded(exported(home, stage, tmp_path / "out"))
    found = logits(model, processor)
    assert torch.equal(found, logits(policy.model, policy.processor))
    assert model.generation_config.eos_token_id == policy.model.generation_config.eos_token_id
    other = policy_of(home, "warm" if stage != "warm" else "rl")
    assert (found - logits(other.model, other.processor)).abs().max() > 1e-3
    assert sorted(file.name for file in (tmp_path / "out").iterdir() if file.is_dir()) == []


def test_adapters_alone_go_on_the_policy_before(home: Home, tmp_path: Path) -> None:
    out = exported(home, "rl", tmp_path / "adapter", merge=False)
    warm, processor = loaded(exported(home, "warm", tmp_path / "warm", merge=False))  # it has none: merge or not
    before = logits(warm, processor)
    found = logits(PeftModel.from_pretrained(warm, out).eval(), processor)
    whole = logits(*loaded(exported(home, "rl", tmp_path / "whole")))
    assert (found - whole).abs().max() < 1e-5 < (before - whole).abs().max()
    card = ModelCard.load(out / "README.md")
    assert (card.data.library_name, card.data.base_model) == ("peft", "pocket:base")
    base = f"{home.path / 'run'}#warm"
    assert json.loads((out / "adapter_config.json").read_text())["base_model_name_or_path"] == base
    assert f"`{base}` is another stage's policy" in card.content


def test_bfloat16(home: Home, tmp_path: Path) -> None:
    out = exported(home, "rl", tmp_path / "out", dtype="bfloat16")
    kept = load_file(exported(home, "rl", tmp_path / "kept") / "model.safetensors")
    found = load_file(out / "model.safetensors")
    assert found.keys() == kept.keys()
    assert all(torch.equal(found[name], one.bfloat16()) for name, one in kept.items())
    model, _ = loaded(out)
    assert model.dtype == torch.bfloat16
    assert "Stored in bfloat16; the figures below are of the weights before that." in (out / "README.md").read_text()


def test_the_card_has_the_figures_and_the_recipe(home: Home, tmp_path: Path) -> None:
    card = ModelCard.load(exported(home, "rl@1", tmp_path / "out") / "README.md")
    assert card.data.to_dict() == {
        "base_model": "pocket:base",
        "base_model_relation": "finetune",
        "library_name": "transformers",
        "pipeline_tag": "image-text-to-text",
        "tags": ["warmrl", "opd", "grpo"],
    }
    report = json.loads((home.path / "run" / "report.json").read_text())
    (entropy,) = (
        row
        for row in report["endpoints"]
        if (row["checkpoint"], row["suite"], row["metric"]) == ("rl@1", "validation", "entropy")
    )
    assert f"| validation | 4 | entropy | {entropy['value']:.3f} nats | {entropy['low']:.3f} to " in card.content
    assert "Checkpoint claim" in card.content
    assert '"lora": {' in card.content
    assert 'extends = "../../recipes/base/pocket.toml"' in card.content
    assert f"| transformers | {transformers.__version__} |" in card.content


def test_a_checkpoint_without_figures_says_so(home: Home, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(home.path / "run", run, symlinks=True)
    known = json.loads((run / "run.json").read_text())
    for stage in known["stages"].values():
        stage["store"] = str((home.path / "run" / stage["store"]).resolve())
    (run / "run.json").write_text(json.dumps(known))
    report = json.loads((run / "report.json").read_text())
    report["endpoints"] = [row for row in report["endpoints"] if row["checkpoint"] != "warm"]
    (run / "report.json").write_text(json.dumps(report))
    out = export.export_policy(f"{run}#warm", tmp_path / "out", merge=False, dtype=None).folder
    assert "This checkpoint was not evaluated." in (out / "README.md").read_text()
    (run / "report.json").unlink()
    again = export.export_policy(f"{run}#warm", tmp_path / "again", merge=False, dtype=None).folder
    assert "The run was not finished" in (again / "README.md").read_text()


@pytest.mark.parametrize(
    ("stage", "said"),
    [("nothing", "no finished stage `nothing`"), ("rl@2000", "that step was not kept"), ("rl@", "is no checkpoint")],
)
def test_what_is_not_there_is_refused(home: Home, tmp_path: Path, stage: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        exported(home, stage, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_nothing_is_written_over(home: Home, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("kept")
    with pytest.raises(UsageError, match="not an empty folder; nothing was touched"):
        exported(home, "warm", tmp_path)
    assert [one.name for one in tmp_path.iterdir()] == ["mine"]


def test_a_failed_export_leaves_nothing(home: Home, tmp_path: Path, monkeypatch) -> None:
    def broken(_facts: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(export, "card", broken)
    with pytest.raises(KeyboardInterrupt):
        exported(home, "rl", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_policy_is_not_exported(home: Home, tmp_path: Path) -> None:
    export.export_run(home.path / "run", tmp_path / "copy")
    weights = tmp_path / "copy" / "tiny" / "stages" / "rl" / "policy" / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(UsageError, match=r"not whole \(`model.safetensors` is not what was written"):
        export.export_policy(f"{tmp_path / 'copy' / 'tiny'}#rl", tmp_path / "out", merge=True, dtype=None)


def test_a_whole_run_stands_alone(home: Home, tmp_path: Path) -> None:
    moved = Home(tmp_path / "moved")
    shutil.copytree(home.path, moved.path, symlinks=True)
    out = tmp_path / "out"
    result = CliRunner().invoke(app, ["export", str(moved.path / "run"), "--to", str(out), "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == {"kind": "run", "folder": str(out), "base": None}
    shutil.rmtree(moved.path)
    run = out / "tiny"
    assert not [one for one in run.rglob("*") if one.is_symlink() and not one.exists()]
    assert (run / "evaluations" / "rl.validation" / "samples.jsonl").read_text()
    policy = exported(home, "rl", tmp_path / "policy")
    assert find(f"{run}#rl", None, Registry.installed()).fingerprint
    copied = export.export_policy(f"{run}#rl", tmp_path / "copied", merge=True, dtype=None).folder
    assert (copied / "model.safetensors").read_bytes() == (policy / "model.safetensors").read_bytes()
    entries = Entries(recipe_file.read(home.recipe, SMALL), out / "store")
    experiment = Experiment(entries, RunFolder(tmp_path / "again"), Progress())
    experiment.run()
    assert experiment.done == []


def test_the_command_line(home: Home, tmp_path: Path) -> None:
    target = f"{home.path / 'run'}#rl"
    result = CliRunner().invoke(app, ["export", target, "--to", str(tmp_path / "out"), "--merge", "--json"])
    assert json.loads(result.stdout) == {"kind": "model", "folder": str(tmp_path / "out"), "base": "pocket:base"}
    result = CliRunner().invoke(app, ["export", target, "--to", str(tmp_path / "adapter")])
    assert "adapters for pocket:base" in result.stdout
    result = CliRunner().invoke(app, ["export", str(home.path / "run"), "--to", str(tmp_path / "x"), "--merge"])
    assert isinstance(result.exception, UsageError)
