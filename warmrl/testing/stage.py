"""The contracts of warm starts, RL algorithms and curators: a few steps of a real run on the pocket."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from warmrl.domain.config import Config
from warmrl.domain.method import Curator, Method
from warmrl.domain.stages import CuratorConfig, MethodConfig
from warmrl.testing.plugin import PluginContract
from warmrl.testing.run import Outcome, results, start, warmrl, write_recipe


class StageContract(PluginContract):
    """Runs one stage by the command line: it ends well, costs nothing again, and resumes to the same bytes."""

    small: ClassVar[Mapping[str, Any]] = {}
    """Settings laid over `settings` that make the stage small."""
    tables: ClassVar[Mapping[str, Any]] = {}
    """Recipe tables laid over the contract's recipe (see `write_recipe`)."""

    def recipe(self, folder: Path) -> Path:
        """The recipe with this stage alone, named `subject`."""
        stage = {"use": self.name, **self.settings, **self.small}
        return write_recipe(folder, **{"stage": {"subject": stage}, **self.tables})

    def run(self, folder: Path) -> Outcome:
        """Run it in `folder`."""
        return warmrl("run", str(self.recipe(folder)), "--out", "out", "--json", folder=folder)

    @pytest.fixture(scope="class")
    def whole(self, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """The folder of an uninterrupted run."""
        folder = tmp_path_factory.mktemp("whole")
        self.run(folder).assert_success()
        return folder

    def test_it_runs(self, whole: Path) -> None:
        assert results(whole)

    def test_again_it_is_reused(self, whole: Path) -> None:
        before = results(whole)
        again = self.run(whole)
        again.assert_success()
        assert "subject" in again.last["stages"]["reused"]
        assert results(whole) == before

    def test_killed_it_resumes_to_the_same_bytes(self, whole: Path, tmp_path: Path) -> None:
        process = start("run", str(self.recipe(tmp_path)), "--out", "out", folder=tmp_path)
        while process.poll() is None and not any(file.stat().st_size for file in tmp_path.rglob("metrics.jsonl")):
            time.sleep(0.05)
        process.kill()
        process.communicate()
        self.run(tmp_path).assert_success()
        assert results(tmp_path) == results(whole)


class MethodContract(StageContract):
    """The part that warm starts and RL algorithms share."""

    base: ClassVar[type] = Method
    config_base: ClassVar[type[Config]] = MethodConfig
    small: ClassVar[Mapping[str, Any]] = {"steps": 3, "prompts_per_step": 2, "max_tokens": 16, "checkpoint_every": 1}


class WarmStartContract(MethodContract):
    """A warm start: policy in, policy out, before RL."""

    kind: ClassVar[str] = "warm start"


class RLAlgorithmContract(MethodContract):
    """An RL algorithm: policy in, policy out, on rewards."""

    kind: ClassVar[str] = "RL algorithm"


class CuratorContract(StageContract):
    """A curator: a dataset out."""

    kind: ClassVar[str] = "curator"
    base: ClassVar[type] = Curator
    config_base: ClassVar[type[Config]] = CuratorConfig

    def recipe(self, folder: Path) -> Path:
        """The curator, and SFT on what it made."""
        curator = {"use": self.name, **self.settings, **self.small}
        taker = {"use": "sft", "data": "subject", "steps": 1, "prompts_per_step": 2}
        return write_recipe(folder, **{"stage": {"subject": curator, "taker": taker}, **self.tables})
