"""The contract of teachers."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from warmrl.domain.config import Config
from warmrl.domain.teacher import Teacher, TeacherConfig
from warmrl.testing.plugin import PluginContract
from warmrl.testing.run import results, warmrl, write_recipe

SCORES = ("full", "top-k", "sampled")


class TeacherContract(PluginContract):
    """Does what its config class declares: it is tried in `traces` when it generates, in `opd` when it scores."""

    kind: ClassVar[str] = "teacher"
    base: ClassVar[type] = Teacher
    config_base: ClassVar[type[Config]] = TeacherConfig

    def test_it_declares_what_it_implements(self) -> None:
        config, implementation = self.registration().config, self.registration().load()
        generates, scores = getattr(config, "generates", False), getattr(config, "scores", ())
        assert generates or scores, "a teacher generates, or scores, or both: say so on the config class"
        assert set(scores) <= set(SCORES)
        assert not generates or implementation.generate is not Teacher.generate
        assert not scores or implementation.score is not Teacher.score

    def run(self, folder: Path, stages: dict[str, Any]) -> None:
        """Run a recipe of these stages to its end."""
        recipe = write_recipe(folder, stage=stages)
        warmrl("run", str(recipe), "--out", "out", "--json", folder=folder).assert_success()
        assert results(folder)

    def test_it_serves_a_run(self, tmp_path: Path) -> None:
        teacher = {"use": self.name, **self.settings}
        config, small = self.registration().config, {"prompts_per_step": 2, "max_tokens": 16}
        if getattr(config, "generates", False):
            traces = {"use": "traces", "teacher": teacher, "max_tokens": 32}
            (tmp_path / "traces").mkdir()
            self.run(tmp_path / "traces", {"made": traces, "taker": {"use": "sft", "data": "made", "steps": 1}})
        if getattr(config, "scores", ()):
            (tmp_path / "opd").mkdir()
            self.run(tmp_path / "opd", {"warm": {"use": "opd", "teacher": teacher, "steps": 2, **small}})
