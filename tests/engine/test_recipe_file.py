"""Recipes: extends, --set, defaults, and every refusal as one clear paragraph."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from warmrl.domain.errors import PluginError, RecipeError
from warmrl.engine import recipe_file
from warmrl.engine.recipe_file import overlay
from warmrl.engine.recipe_rules import stage_order
from warmrl.engine.recipe_schema import schema

ROOT = Path(__file__).parent.parent.parent
RECIPES = sorted(file for file in (ROOT / "recipes").rglob("*.toml") if file.parent.name not in ("base", "study"))
POCKET = [*sorted((ROOT / "recipes").glob("*_then_grpo.toml")), ROOT / "recipes" / "grpo_only.toml"]
REAL = sorted((ROOT / "recipes" / "geometry3k").glob("*_then_grpo.toml"))
SIBLINGS = [(first, file) for first, *others in (POCKET, REAL) for file in others]


def write(folder: Path, text: str) -> Path:
    file = folder / "recipe.toml"
    file.write_text(text)
    return file


BASE = """
version = 1
name = "x"
[model]
path = "pocket:base"
[answer]
use = "tags"
[data.train]
use = "pocket_geometry"
[suite.validation]
use = "pocket_geometry"
split = "validation"
[reward.math]
"""
RL = '[stage.rl]\nuse = "grpo"\npolicy = "base"\n'


@pytest.mark.parametrize("file", RECIPES, ids=lambda file: str(file.relative_to(ROOT)))
def test_every_shipped_recipe_is_valid(file: Path) -> None:
    found = recipe_file.read(file)
    assert set(stage_order(found.recipe)) == set(found.recipe.stage)


def flat(value: object, at: str = "") -> dict[str, object]:
    if isinstance(value, dict):
        return {k: v for name, one in value.items() for k, v in flat(one, f"{at}.{name}" if at else name).items()}
    return {at: value}


@pytest.mark.parametrize("pair", SIBLINGS, ids=lambda pair: str(pair[1].relative_to(ROOT)))
def test_siblings_differ_in_the_warm_start_alone(pair: tuple[Path, Path]) -> None:
    first, other = (flat(recipe_file.read(one).resolved()) for one in pair)
    keys = {key for key in first.keys() | other.keys() if first.get(key) != other.get(key)}
    assert keys
    assert all(key == "name" or key.startswith(("stage.warm.", "stage.traces.")) for key in keys), keys


def test_resolved_recipe_is_taken_back(tmp_path: Path) -> None:
    first = recipe_file.read(ROOT / "recipes" / "opd_then_grpo.toml")
    file = tmp_path / "resolved.json"
    file.write_text(json.dumps(first.resolved()))
    assert recipe_file.read(file).recipe == first.recipe


def test_recipes_fit_the_schema() -> None:
    checked = jsonschema.Draft202012Validator(schema())
    for file in RECIPES:
        checked.validate(recipe_file.parse(file)[1])
    assert list(checked.iter_errors({"version": 1, "name": "x", "stage": {"rl": {"use": "grpo", "stps": 3}}}))


def test_a_table_whose_use_changes_is_replaced_whole() -> None:
    below = {"stage": {"warm": {"use": "opd", "teacher": {}, "steps": 3}, "rl": {"use": "grpo", "steps": 5}}}
    over = {"stage": {"warm": {"use": "sft", "epochs": 2.0}, "rl": {"steps": 7}}}
    assert overlay(below, over) == {"stage": {"warm": {"use": "sft", "epochs": 2.0}, "rl": {"use": "grpo", "steps": 7}}}


def test_false_takes_a_parents_table_away() -> None:
    below = {"stage": {"warm": {"use": "sft"}, "rl": {"use": "grpo"}}, "model": {"path": "x"}}
    over = {"stage": {"rl": False, "new": False}, "model": {"path": False}}
    assert overlay(below, over) == {"stage": {"warm": {"use": "sft"}, "new": False}, "model": {"path": False}}


def test_false_drops_a_table_of_the_parent(tmp_path: Path) -> None:
    base = write(tmp_path, BASE + "[reward.format]\n" + RL)
    child = tmp_path / "child.toml"
    child.write_text(f'version = 1\nname = "child"\nextends = "{base.name}"\n[reward]\nmath = false\n')
    assert list(recipe_file.read(child).recipe.reward) == ["format"]


def test_set_changes_a_key_at_any_depth(tmp_path: Path) -> None:
    file = write(tmp_path, BASE + RL)
    found = recipe_file.read(file, ["stage.rl.steps=7", "eval.metrics=['pass@4']", "name=other"])
    assert (found.recipe.stage["rl"].config.steps, found.recipe.eval.metrics, found.recipe.name) == (
        7,
        ["pass@4"],
        "other",
    )


BAD = {
    "unknown key": (RL + "stps = 3", ["`stage.rl.stps`", "did you mean `steps`"]),
    "peer's word": (RL + "num_generations = 4", ["`stage.rl.num_generations`", "`samples_per_prompt` here"]),
    "unknown plugin": ('[stage.rl]\nuse = "gpro"', ["`stage.rl.use`", "did you mean `grpo`"]),
    "wrong type": (RL + 'steps = "many"', ["`stage.rl.steps`", "'many'", "integer"]),
    "out of range": (RL + "steps = 0", ["`stage.rl.steps`", "greater than or equal to 1"]),
    "no such stage": ('[stage.rl]\nuse = "grpo"\npolicy = "warn"', ["`stage.rl.policy`", "`warn`", "base"]),
    "no such data": (RL + 'data = "trian"', ["`stage.rl.data`", "`trian`", "train"]),
    "circle": (
        '[stage.a]\nuse = "grpo"\npolicy = "b"\n[stage.b]\nuse = "grpo"\npolicy = "a"',
        ["circle", "`a`", "`b`"],
    ),
    "step beyond the end": (RL + 'steps = 5\n[eval]\nat = ["rl@6"]', ["`eval.at[0]`", "5 steps"]),
    "k exceeds samples": (
        RL + '[eval]\nmetrics = ["pass@16"]\nsamples = 8',
        ["`eval.metrics[0]`", "`pass@16`", "`eval.samples` is 8"],
    ),
    "k of zero": (RL + '[eval]\nmetrics = ["pass@0"]', ["`eval.metrics[0]`", "at least 1"]),
    "k missing": (RL + '[eval]\nmetrics = ["pass"]', ["`eval.metrics[0]`", "`pass@k`"]),
    "k not taken": (RL + '[eval]\nmetrics = ["accuracy@4"]', ["`eval.metrics[0]`", "takes no k"]),
    "a power of zero": (RL + '[eval]\nmetrics = ["pass^0"]', ["`eval.metrics[0]` is `pass^0`", "k is at least 1"]),
    "no power": (RL + '[eval]\nmetrics = ["pass^"]', ["`eval.metrics[0]`", "`pass^k`, for example `pass^8`"]),
    "two spellings of k": (RL + '[eval]\nmetrics = ["pass^@4"]', ["`eval.metrics[0]`", "as `pass@16` or `pass^4`"]),
    "k with a zero before it": (RL + '[eval]\nmetrics = ["pass@08"]', ["`eval.metrics[0]`", "`pass@08` is no metric"]),
    "more distinct than samples": (
        RL + '[eval]\nmetrics = ["diversity@1000"]\nsamples = 8',
        ["`eval.samples` is 8", "fewer than 1000 samples", "or lower k"],
    ),
    "agreement of one sample": (
        RL + '[eval]\nmetrics = ["effective_answers"]\nsamples = 1',
        ["`eval.samples` is 1", "fewer than 2 samples; raise `eval.samples`."],
    ),
    "unknown metric": (RL + '[eval]\nmetrics = ["acuracy"]', ["`eval.metrics[0]`", "did you mean `accuracy`"]),
    "factor without suites": (
        RL + '[eval.generalization]\nin_domain = "own"\nout_of_domain = { other = 1 }\nmetric = "pass@1"',
        ["`eval.generalization.in_domain`: there is no `[suite.own]`", "`eval.generalization.out_of_domain.other`"],
    ),
    "factor of no suite": (
        RL + '[eval.generalization]\nin_domain = "own"\nout_of_domain = {}',
        ["`eval.generalization.out_of_domain`", "at least 1 item"],
    ),
    "factor of what is not measured": (
        RL + '[eval.generalization]\nin_domain = "own"\nout_of_domain = { own = 1 }\nmetric = "pass@2"',
        ["`eval.generalization.metric` is `pass@2`", "in domain and out of domain"],
    ),
    "a weight of nothing": (
        RL + '[eval.generalization]\nin_domain = "own"\nout_of_domain = { own = 0 }',
        ["`eval.generalization.out_of_domain.own`", "greater than 0"],
    ),
    "teacher missing": ('[stage.warm]\nuse = "opd"\n' + RL, ["`stage.warm.teacher`", "missing"]),
    "teacher's key": (
        '[stage.warm]\nuse = "opd"\nteacher = { use = "local", pth = "x" }\n' + RL,
        ["`stage.warm.teacher.pth`", "did you mean `path`"],
    ),
    "stage name taken": ('[stage.train]\nuse = "grpo"\npolicy = "base"', ["`stage.train`", "taken"]),
    "version": ("", ["`version`"]),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_recipes_are_refused_in_one_paragraph(case: str, tmp_path: Path) -> None:
    addition, words = BAD[case]
    text = BASE + addition if case != "version" else (BASE + RL).replace("version = 1", "version = 2")
    file = write(tmp_path, text)
    with pytest.raises(RecipeError) as refused:
        recipe_file.read(file)
    message = str(refused.value)
    assert str(file) in message and "\n" not in message
    for word in words:
        assert word in message, message


def test_several_problems_are_all_named(tmp_path: Path) -> None:
    file = write(tmp_path, BASE + RL + "a = 1\nb = 2")
    with pytest.raises(RecipeError, match=r"2 problems.*`stage\.rl\.a`.*`stage\.rl\.b`"):
        recipe_file.read(file)


def test_extends_in_a_circle_and_missing_files(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('extends = "b.toml"')
    (tmp_path / "b.toml").write_text('extends = "a.toml"')
    with pytest.raises(RecipeError, match="circle"):
        recipe_file.read(tmp_path / "a.toml")
    with pytest.raises(RecipeError, match="does not exist"):
        recipe_file.read(tmp_path / "c.toml")
    (tmp_path / "d.toml").write_text("a = [")
    with pytest.raises(RecipeError, match="not valid TOML"):
        recipe_file.read(tmp_path / "d.toml")


def test_a_one_file_plugin_is_refused_until_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARMRL_CONFIG", str(tmp_path / "config"))
    plugin = tmp_path / "mine.py"
    plugin.write_text(
        "from warmrl.api import Reward, RewardConfig, hookimpl\n"
        "class Short(Reward):\n    def score(self, problem, completions):\n        return [1.0 for _ in completions]\n"
        "@hookimpl\ndef warmrl_register_rewards(register):\n"
        "    register('mine', config=RewardConfig, implementation=__name__ + ':Short')\n"
    )
    file = write(tmp_path, BASE.replace('name = "x"', 'name = "x"\nplugins = ["./mine.py"]') + "[reward.mine]\n" + RL)
    with pytest.raises(PluginError, match="warmrl plugin trust"):
        recipe_file.read(file)
    from warmrl.plugin.local import trust

    trust(plugin)
    assert recipe_file.read(file).recipe.reward["mine"].use == "mine"
    plugin.write_text(plugin.read_text() + "\n# changed\n")
    with pytest.raises(PluginError, match="not trusted"):
        recipe_file.read(file)
