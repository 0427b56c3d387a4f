"""Somebody else's package: built into a wheel, installed, listed, checked by the contracts, run from a recipe."""

import importlib.metadata
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import pytest

from warmrl.plugin.registry import Registry
from warmrl.testing import RewardContract, WarmStartContract, warmrl
from warmrl.testing.run import write_recipe

SOURCE = Path(__file__).parents[1] / "third_party" / "warmrl_example"


@pytest.fixture(scope="module", autouse=True)
def site(tmp_path_factory):
    """The wheel, installed into a folder of its own that is on the import path (no network, nothing else changed)."""
    if "warmrl-example" in {one.name for one in importlib.metadata.distributions()}:
        yield None
        return
    work = tmp_path_factory.mktemp("third_party")
    shutil.copytree(SOURCE, work / "source")
    pip = [sys.executable, "-m", "pip", "--quiet", "--no-cache-dir", "--disable-pip-version-check"]
    offline = ["--no-deps", "--no-index"]
    build = [*pip, "wheel", *offline, "--no-build-isolation", "--wheel-dir", work / "wheels", work / "source"]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = (work / "wheels").glob("warmrl_example-*.whl")
    subprocess.run([*pip, "install", *offline, "--target", work / "site", wheel], check=True, capture_output=True)
    sys.path.insert(0, str(work / "site"))
    yield work / "site"
    sys.path.remove(str(work / "site"))
    for name in [name for name in sys.modules if name.partition(".")[0] == "warmrl_example"]:
        del sys.modules[name]


class TestShort(RewardContract):
    plugin = "warmrl_example"
    name = "short"
    settings: ClassVar = {"full": 10}
    right = ("", "4", "0123456789")
    wrong = ("01234567890", "4" * 100)


# A random policy has no right answers, so whatever is short counts as right.
TABLES = {"model": {"path": "pocket:random"}, "grader": {"use": "short", "full": 1000}}


@pytest.mark.slow
class TestRejectionSFT(WarmStartContract):
    plugin = "warmrl_example"
    name = "rejection_sft"
    tables: ClassVar = TABLES


def test_it_is_found_by_its_entry_point():
    registry = Registry.installed()
    assert not [one for one in registry.broken if one.plugin == "example"]
    assert registry.get("reward", "short").distribution == "warmrl-example"
    assert registry.get("stage", "rejection_sft").kind == "warm start"


@pytest.mark.slow
def test_it_runs_from_a_recipe(tmp_path):
    small = {"prompts_per_step": 2, "max_tokens": 16}
    stages = {
        "warm": {"use": "rejection_sft", "steps": 2, **small},
        "rl": {"use": "grpo", "policy": "warm", "steps": 2, "samples_per_prompt": 2, **small},
    }
    rewards = {"math": {"use": "math", "weight": 0.9}, "short": {"use": "short", "weight": 0.1, "full": 40}}
    recipe = write_recipe(tmp_path, **TABLES, stage=stages, reward=rewards)
    done = warmrl("run", str(recipe), "--out", "out", "--json", folder=tmp_path)
    done.assert_success()
    rows = [json.loads(line) for line in (tmp_path / "out" / "metrics.jsonl").read_text().splitlines()]
    assert all(row["loss"] > 0 for row in rows if row["stage"] == "warm")
    assert all("reward/short" in row for row in rows if row["stage"] == "rl")
