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
    """Does what its config declares: it is tried in `traces` when it generates, in `opd` when it scores."""

    kind: ClassVar[str] = "teacher"
    base: ClassVar[type] = Teacher
    config_base: ClassVar[type[Config]] = TeacherConfig

    def test_it_declares_what_it_implements(self) -> None:
        gives, implementation = set(self.config().gives()), self.registration().load()
        assert gives, "a teacher generates, or scores, or both: say so in the `gives` of its config class"
        assert gives <= {"generates", "rates", *SCORES}
        assert "generates" not in gives or implementation.generate is not Teacher.generate
        assert not gives & set(SCORES) or implementation.score is not Teacher.score
        assert "rates" not in gives or implementation.rate is not Teacher.rate

    def run(self, folder: Path, stages: dict[str, Any]) -> None:
        """Run a recipe of these stages to its end."""
        recipe = write_recipe(folder, stage=stages)
        warmrl("run", str(recipe), "--out", "out", "--json", folder=folder).assert_success()
        assert results(folder)

    def test_it_serves_a_run(self, tmp_path: Path) -> None:
        teacher = {"use": self.name, **self.settings}
        gives, small = self.config().gives(), {"prompts_per_step": 2, "max_tokens": 16}
        if "generates" in gives:
            traces = {"use": "traces", "teacher": teacher, "max_tokens": 32}
            (tmp_path / "traces").mkdir()
            self.run(tmp_path / "traces", {"made": traces, "taker": {"use": "sft", "data": "made", "steps": 1}})
        if set(gives) & set(SCORES):
            (tmp_path / "opd").mkdir()
            stages = {
                name: {"use": "opd", "teacher": teacher, "steps": 2, **small, **how} for name, how in forms(gives)
            }
            self.run(tmp_path / "opd", stages)


def forms(gives: tuple[str, ...]) -> list[tuple[str, dict[str, Any]]]:
    """Settings of `opd` that ask for every form of scores that a teacher has, with a name for each."""
    found: list[tuple[str, dict[str, Any]]] = [
        ("full", {}), ("top_k", {"top_k": 4}), ("sampled", {"divergence": "sampled"}),
    ]  # fmt: skip
    return found[min(SCORES.index(form) for form in gives if form in SCORES) :]
