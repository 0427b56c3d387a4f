"""Bad input ends with one paragraph on standard error, exit code 2, no traceback, and nothing written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
QUICK = str(ROOT / "recipes" / "quickstart.toml")


def warmrl(*arguments: str, home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "warmrl", *arguments],
        env=os.environ | {"WARMRL_HOME": str(home), "OMP_NUM_THREADS": "1"} | environment,
        capture_output=True,
        text=True,
        timeout=300,
        cwd=home.parent,
    )


def refused(found: subprocess.CompletedProcess[str], *words: str, code: int = 2) -> None:
    """One paragraph that holds `words`, and the exit code."""
    assert found.returncode == code, found.stderr
    assert "Traceback" not in found.stderr
    text = " ".join(found.stderr.split())
    for word in words:
        assert word in text, text


CASES = {
    "unknown key": (["--set", "stage.rl.num_generations=4"], ["`stage.rl.num_generations`", "`samples_per_prompt`"]),
    "unknown plugin": (["--set", "stage.rl.use=gpro"], ["`gpro`", "`grpo`"]),
    "wrong type": (["--set", "stage.rl.steps=soon"], ["`stage.rl.steps`", "'soon'"]),
    "no such stage": (["--set", "stage.rl.policy=warn"], ["`stage.rl.policy`", "`warn`"]),
    "circle": (["--set", "stage.warm.policy=rl"], ["circle"]),
    "k exceeds samples": (["--set", "eval.samples=4"], ["`eval.metrics[2]`", "`pass@16`"]),
    "empty split": (["--set", "suite.validation.split=nowhere"], ["nowhere"]),
}


@pytest.mark.parametrize("case", CASES)
def test_a_bad_recipe_is_refused(case: str, tmp_path: Path) -> None:
    arguments, words = CASES[case]
    home = tmp_path / "home"
    refused(warmrl("plan", QUICK, *arguments, home=home), *words)
    assert not home.exists()


def test_a_missing_image_is_refused_before_anything_runs(tmp_path: Path) -> None:
    rows = tmp_path / "train.jsonl"
    rows.write_text('{"question": "How long?", "answer": "3", "image": "nowhere.png"}\n')
    arguments = ["--set", "data.train.use=files", "--set", f"data.train.path={rows}"]
    found = warmrl("run", QUICK, *arguments, home=tmp_path / "home")
    refused(found, "nowhere.png", "train.jsonl")
    assert not (tmp_path / "home" / "store").exists() or not any((tmp_path / "home" / "store").glob("*/policy"))


def test_an_output_folder_of_another_recipe_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "run.json").write_text('{"name": "other", "state": "finished", "stages": {}}')
    refused(warmrl("run", QUICK, "--out", str(folder), home=tmp_path / "home"), "`other`", "--out")
    (folder / "run.json").write_text("")
    refused(warmrl("run", QUICK, "--out", str(folder), home=tmp_path / "home"), "no warmrl run")
    assert [one.name for one in folder.iterdir()] == ["run.json"]


def test_a_recipe_that_is_not_there(tmp_path: Path) -> None:
    refused(warmrl("run", "nowhere.toml", home=tmp_path / "home"), "nowhere.toml does not exist")


def test_an_unknown_command_and_option(tmp_path: Path) -> None:
    assert warmrl("rnu", home=tmp_path / "home").returncode == 2
    assert warmrl("run", QUICK, "--proceses", "2", home=tmp_path / "home").returncode == 2


def test_a_broken_plugin_stops_nothing_else(tmp_path: Path) -> None:
    """A third party's plugin that fails on import is named; recipes that don't use it go on."""
    site = tmp_path / "site"
    info = site / "broken_plugin-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[warmrl]\nbroken = broken_plugin\n")
    (site / "broken_plugin.py").write_text("raise RuntimeError('half installed')\n")
    listed = warmrl("plugin", "list", home=tmp_path / "home", PYTHONPATH=str(site))
    assert listed.returncode == 0
    assert "broken-plugin" in listed.stdout and "half installed" in listed.stdout
    assert warmrl("recipe", "check", QUICK, home=tmp_path / "home", PYTHONPATH=str(site)).returncode == 0
    used = warmrl("recipe", "check", QUICK, "--set", "reward.broken.use=broken", home=tmp_path, PYTHONPATH=str(site))
    refused(used, "`broken`", "broken-plugin", "half installed")


def test_two_plugins_of_one_name_are_both_named(tmp_path: Path) -> None:
    site = tmp_path / "site"
    info = site / "second_grpo-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: second-grpo\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[warmrl]\nsecond = second_grpo\n")
    (site / "second_grpo.py").write_text(
        "from warmrl.api import MethodConfig, hookimpl\n"
        "@hookimpl\ndef warmrl_register_warm_starts(register):\n"
        "    register('grpo', config=MethodConfig, implementation='second_grpo:Method')\n"
    )
    found = warmrl("recipe", "check", QUICK, home=tmp_path / "home", PYTHONPATH=str(site))
    refused(found, "`grpo` is registered twice", "second-grpo", "warmrl")
    other = ["--set", "stage.rl.use=sft", "--set", "stage.rl.policy=warm"]
    assert warmrl("recipe", "check", QUICK, *other, home=tmp_path / "home", PYTHONPATH=str(site)).returncode in (0, 2)


def test_reward_score_says_which_row_is_wrong(tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"gold": "3", "completion": "\\\\boxed{3}"}\n{"gold": "3"}\n')
    refused(warmrl("reward", "score", str(rows), home=tmp_path / "home"), "row 2")
