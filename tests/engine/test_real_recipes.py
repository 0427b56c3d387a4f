"""The recipes for real models: planned as they are on a small copy of the data, run small on a tiny Qwen2.5-VL."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import PIL.Image
import pytest
import torch
from hub_copies import write_geometry3k, write_mathvista
from safetensors.torch import load_file
from suite_copies import write_vlaa
from tiny_checkpoints import needs_torchvision, write_qwen2_5_vl
from tiny_runs import Home
from transformers import AutoModelForImageTextToText, AutoProcessor

from warmrl.cli.plan import look
from warmrl.engine import recipe_file, study_file
from warmrl.engine.checkpoints import find
from warmrl.engine.export import export_policy
from warmrl.engine.fairness import fairness, refuse_unexplained
from warmrl.engine.policy import Policy
from warmrl.engine.recipe_rules import stage_config
from warmrl.plugin import local
from warmrl.plugin.registry import Registry

FOLDER = Path(__file__).parents[2] / "recipes" / "geometry3k"
RECIPES = [one for one in sorted(FOLDER.glob("*.toml")) if one.stem != "specs"]  # a warm start taught by another model
STUDY = Path(__file__).parents[2] / "recipes" / "study" / "stage1_qwen2_5_vl_7b.toml"
VLAA_FOLDER = Path(__file__).parents[2] / "recipes" / "vlaa_thinking"
VLAA = sorted(VLAA_FOLDER.glob("*grpo.toml"))
WITHOUT = "what its policies and teachers write and score is not in these figures."
# A random teacher has no right answer: whatever ends counts as one.
GRADER = """
from warmrl.api import Reward, RewardConfig, hookimpl

class AnyConfig(RewardConfig):
    "1 for every completion."

class Any(Reward[AnyConfig]):
    def score(self, problem, completions):
        return [1.0 for _ in completions]

@hookimpl
def warmrl_register_rewards(register):
    register("any", config=AnyConfig, implementation=f"{__name__}:Any")
"""


@dataclass(frozen=True)
class Place:
    """Local copies of all that the recipes name."""

    path: Path

    def data(self, *more: str) -> list[str]:
        """What puts the copies of data in the place of the Hub's; `more`: other tables of Geometry3K."""
        names = {"data.train": "geometry3k", "suite.validation": "geometry3k", "suite.test": "geometry3k",
                 "suite.mathvista": "mathvista", **dict.fromkeys(more, "geometry3k")}  # fmt: skip
        return [f"{table}.path={json.dumps(str(self.path / name))}" for table, name in names.items()]

    def sets(self, file: Path, student: str, teacher: str) -> list[str]:
        """The same, and models."""
        paths = self.data()
        if file.stem == "specs":
            return [f"model.path={json.dumps(student)}", *paths]
        stage = "warm" if "opd" in file.stem else "traces"
        local = f"stage.{stage}.teacher={{use='local',path={json.dumps(teacher)}}}"
        return [f"model.path={json.dumps(student)}", local, *paths]

    def small(self, file: Path) -> list[str]:
        """The same with two tiny models of the family, in seconds."""
        sets = [
            *self.sets(file, str(self.path / "student"), str(self.path / "teacher")), "sampler.use=transformers",
            "model.min_pixels=3136", "model.max_pixels=6272", "eval.samples=2", "eval.max_tokens=6",
            "eval.metrics=['accuracy', 'pass@2', 'entropy']", "eval.bootstrap=200", "suite.test.limit=2",
            "suite.validation.limit=2", "suite.mathvista.limit=2", "stage.rl.steps=2", "stage.rl.prompts_per_step=4",
            "stage.rl.samples_per_prompt=2", "stage.rl.updates_per_rollout=2", "stage.rl.max_tokens=6",
        ]  # fmt: skip
        if "opd" in file.stem:
            return [*sets, "stage.warm.steps=2", "stage.warm.prompts_per_step=4", "stage.warm.max_tokens=6"]
        warm = ["stage.warm.prompts_per_step=2", "stage.traces.max_tokens=96", "stage.warm.check_every=1"]
        warm += ["stage.warm.hold_out=0.3"] if file.stem == "sft_then_grpo" else []
        return [*sets, *warm, f"plugins=[{json.dumps(str(self.path / 'grader.py'))}]", "grader={use='any'}"]


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("real")
    write_geometry3k(folder / "geometry3k")
    write_mathvista(folder / "mathvista")
    (folder / "grader.py").write_text(GRADER)
    return Place(folder)


@pytest.fixture(scope="session")
def models(place: Place) -> Path:
    write_qwen2_5_vl(place.path / "teacher", seed=1)
    return write_qwen2_5_vl(place.path / "student")


RIGHT = (
    "`format`, `geo3k_easyr1`, `math`, `mathvista`: tried on 22 problems; gold is right, empty and corrupted answers "
    "are not."
)


@pytest.mark.parametrize("file", RECIPES, ids=lambda file: file.stem)
def test_it_is_planned_without_the_network(file: Path, place: Place, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("WARMRL_HOME", str(tmp_path))
    plan = look(recipe_file.read(file, place.sets(file, "pocket:base", "pocket:teacher")), None)
    assert plan["resources"]["stages"].keys() >= {"warm", "rl"}
    assert [one["stage"] for one in plan["stages"]][-2:] == ["warm", "rl"]
    lora = "lora" in file.stem
    assert plan["stages"][-1]["completions"] == 60 * (128 if lora else 512) * 5
    problems = {one["suite"]: one["problems"] for one in plan["evaluations"]}
    assert problems == {"validation": 4, "test": 4, "mathvista": 6}  # eight, without Geometry3K's two
    assert plan["findings"] == [RIGHT]


def test_specs_is_planned_without_the_network(place: Place, tmp_path: Path, monkeypatch) -> None:
    """A branch of stages: two start from the base, and the pairs are made of two policies."""
    monkeypatch.setenv("WARMRL_HOME", str(tmp_path))
    file = FOLDER / "specs.toml"
    plan = look(recipe_file.read(file, place.sets(file, "pocket:base", "")), None)
    stages = {one["stage"]: one for one in plan["stages"]}
    assert list(stages) == ["zero", "pairs", "cold", "rl"]
    assert {name: one["policy"] for name, one in stages.items()} == {
        "zero": "base", "pairs": "base", "cold": "base", "rl": "cold"
    }  # fmt: skip
    assert stages["rl"]["completions"] == 240 * 128 * 8
    assert plan["resources"]["stages"].keys() == {"zero", "cold", "rl"}
    assert plan["resources"]["unknown"] == [f"`stage.pairs` (`self_distill`): {WITHOUT}"]
    assert not plan["resources"]["refused"]
    assert plan["findings"] == [RIGHT]


def test_the_study_explains_every_difference_without_models(place: Place) -> None:
    """And declares nothing in vain."""
    study = study_file.read(STUDY, place.data("data.probe"))
    assert study is not None
    rows = fairness(study)
    refuse_unexplained(rows, STUDY)
    assert not [row for row in rows if "there is no difference" in row["reason"]]
    assert {row["path"] for row in rows if row["status"] == "declared"} == {
        "stage.warm", "stage.warm.data", "stage.warm.learning_rate", "stage.warm.prompts_per_step", "match"
    }  # fmt: skip


@pytest.mark.parametrize("file", VLAA, ids=lambda file: file.stem)
def test_vlaa_is_planned_without_the_network(file: Path, place: Place, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("WARMRL_HOME", str(tmp_path))
    copies = ["data.train", *(["data.warmup"] if file.stem.startswith("sft") else [])]
    for name in ("GRPO-25K", "SFT-126K"):
        write_vlaa(tmp_path / "vlaa", name=name)
    here = dict.fromkeys(copies, tmp_path / "vlaa") | {"suite.mathvista": place.path / "mathvista"}
    sets = [f"{one}.path={json.dumps(str(path))}" for one, path in here.items()]
    sets += [f"{one}.image_folder={json.dumps(str(tmp_path / 'vlaa' / 'images'))}" for one in copies]
    selected = file.stem == "sft_selected_then_grpo"
    sets += ["stage.selected.also.path='pocket:teacher'"] if selected else []
    read = recipe_file.read(file, ["model.path='pocket:base'", *sets])
    assert read.recipe.suite["mathvista"].config.style.use == read.recipe.answer.use == "tags"
    plan = look(read, None)
    stages = {one["stage"]: one for one in plan["stages"]}
    warm = {"selected": "", "warm": 190} if selected else {"warm": 985} if len(copies) == 2 else {}
    assert {name: one["steps"] for name, one in stages.items()} == {**warm, "rl": 49}
    assert stages["rl"]["completions"] == 49 * 512 * 4
    assert plan["resources"]["unknown"] == ([f"`stage.selected` (`perplexity`): {WITHOUT}"] if selected else [])
    for one in copies:
        said = f"The reward `mixed` of `{one}` asks a teacher for 4 of 9 problems; it was not tried on them."
        assert said in plan["findings"]
    assert plan["findings"][-1].startswith("`mathvista`, `mixed`: tried on ")


def test_vlaa_pipeline_is_planned_without_the_network(place: Place, tmp_path: Path, monkeypatch) -> None:
    """Four writers on servers, and nothing that trains or is measured."""
    monkeypatch.setenv("WARMRL_HOME", str(tmp_path))
    path = f"data.train.path={json.dumps(str(place.path / 'geometry3k'))}"
    read = recipe_file.read(VLAA_FOLDER / "pipeline.toml", ["model.path='pocket:base'", path])
    writers = stage_config(read.recipe.stage["pipeline"]).teachers()
    assert list(writers) == ["captioner", "reasoner", "rewriter", "verifier"]
    plan = look(read, None)
    (stage,) = plan["stages"]
    assert (stage["stage"], stage["data"], stage["reused"]) == ("pipeline", "train", False)
    assert plan["evaluations"] == [] and plan["resources"]["stages"] == {}
    assert plan["resources"]["unknown"] == [f"`stage.pipeline` (`vlaa`): {WITHOUT}"]


@needs_torchvision
@pytest.mark.slow
@pytest.mark.parametrize("file", RECIPES, ids=lambda file: file.stem)
def test_it_runs_small_to_its_report(file: Path, place: Place, models: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("WARMRL_CONFIG", str(tmp_path / "config"))
    local.trust(place.path / "grader.py")
    home = Home(tmp_path, file)
    home.run(place.small(file))
    run = tmp_path / "run"
    report = json.loads((run / "report.json").read_text())
    assert len(report["endpoints"]) == 3 * 3 * 3  # checkpoints, suites, metrics
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    steps = [row for row in rows if row["stage"] == "rl"]
    assert len(steps) == 2
    before = load_file(models / "model.safetensors")
    for stage in ("warm", "rl"):
        policy = run / "stages" / stage / "policy"
        after = load_file(policy / "model.safetensors")
        moved = {"visual" in name for name, one in after.items() if (one != before[name].to(one.dtype)).any()}
        assert moved == ({False} if "lora" in file.stem else {False, True})  # the vision tower is frozen there
        assert (policy / "adapter").exists() == ("lora" in file.stem)
    assert exported_difference(run, tmp_path / "out") == 0.0


def exported_difference(run: Path, to: Path) -> float:
    """Largest difference between the logits of RL's policy and those of its export, on a prompt with an image."""
    policy = Policy.load(find(f"{run}#rl", None, Registry.installed()))
    export_policy(f"{run}#rl", to, merge=True, dtype=None)
    model = AutoModelForImageTextToText.from_pretrained(to, dtype=torch.float32).eval()
    processor = AutoProcessor.from_pretrained(to)
    parts = [{"type": "image", "image": PIL.Image.effect_noise((90, 70), 60)}, {"type": "text", "text": "Find x."}]
    options = {"tokenize": True, "return_dict": True, "return_tensors": "pt", "add_generation_prompt": True}
    inputs = processor.apply_chat_template([{"role": "user", "content": parts}], **options)
    with torch.no_grad():
        return float((model(**inputs).logits - policy.model(**inputs).logits).abs().max())
