"""The plan of a study: what runs and what is shared, its estimates, and those beside what happened."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from tiny_runs import RECIPE, Home
from typer.testing import CliRunner

from warmrl.cli.main import app
from warmrl.domain.errors import RecipeError
from warmrl.engine import study_file
from warmrl.engine.entries import Entries
from warmrl.engine.forecast import speeds as measuring
from warmrl.engine.forecast.speeds import Speed, Speeds, answers_key, measured, stage_speed_key
from warmrl.engine.study_plan import estimates_beside, study_plan
from warmrl.engine.usage import Usage, keep_usage, usage_of

ARMS = """
[study]
seeds = [1, 2]
control = "opd"
in_domain = "{suite}"

[arm.opd]
[arm.none.stage.warm]
use = "none"
data = "train"
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WARMRL_HOME", str(tmp_path / "home"))
    suite = next(iter(Home(tmp_path).recipe.read_text().split("[suite.")[1:])).partition("]")[0]
    path = tmp_path / "study.toml"
    path.write_text(f'version = 1\nname = "two"\nextends = "{RECIPE}"\n' + ARMS.format(suite=suite))
    return path


def plan(file: Path, store: Path, **settings: Any) -> dict[str, Any]:
    study = study_file.read(file)
    assert study is not None
    return study_plan(study, store, "cpu", **settings)


def of(cell: dict[str, Any], kind: str, status: str) -> list[Any]:
    return [one.get("stage") or (one["checkpoint"], one["suite"]) for one in cell[kind] if one["status"] == status]


def test_what_cells_share_is_made_once(file: Path, tmp_path: Path) -> None:
    found = plan(file, tmp_path / "store")
    first, second, third, _ = found["cells"]
    assert [(one["arm"], one["seed"]) for one in found["cells"]] == [("opd", 1), ("none", 1), ("opd", 2), ("none", 2)]
    assert of(first, "stages", "runs") == ["warm", "rl"] == of(third, "stages", "runs")
    bases = [one for one in of(first, "evaluations", "runs") if one[0] == "base"]
    assert bases
    assert of(third, "evaluations", "shared") == bases
    handed_on = [
        ("warm", suite) for _, suite in bases
    ]  # by the arm without a warm start: the base's answers are its own
    assert sorted(of(second, "evaluations", "shared")) == sorted([*bases, *handed_on])
    assert found["reuse"]["there"] == 0
    assert found["reuse"]["runs"] == found["reuse"]["needed"]
    assert found["reuse"]["shared"] == 3 * len(bases) + 2 * len(handed_on)
    assert found["estimates"]["seconds"] is None
    assert found["estimates"]["peak_bytes"] > found["estimates"]["tensor_bytes"] > 0
    json.dumps(found)


def test_times_are_those_of_known_speeds_and_what_is_there_takes_none(file: Path, tmp_path: Path) -> None:
    study = study_file.read(file)
    assert study is not None
    store, entries = tmp_path / "home" / "store", None
    known = {"run": Speed(10.0, 0.0, 5.0, 0.0)}
    for one in study.recipes.values():
        entries = Entries(one, store)
        known |= {stage_speed_key(entries, name): Speed(1.0, 2.0, 0.5, 1.0) for name in entries.order()}
        known |= {answers_key(entries, name): Speed(0.0, 0.1, 0.0, 0.05) for name in one.recipe.suite}
    Speeds(known, peak_bytes=7 << 20).keep(store)
    found = plan(file, store)
    first = found["cells"][0]
    steps = study.recipes["opd"].recipe.stage["rl"].config.steps  # type: ignore[attr-defined]
    assert next(one for one in first["stages"] if one["stage"] == "rl")["seconds"] == 1 + 2 * steps
    parts = [one["seconds"] for kind in ("stages", "evaluations") for one in first[kind]]
    assert first["seconds"] == pytest.approx(10 + sum(parts))
    assert first["cpu_seconds"] == pytest.approx(first["seconds"] / 2)
    assert found["estimates"]["seconds"] == pytest.approx(sum(one["seconds"] for one in found["cells"]))
    prompts = found["estimates"]["peak_bytes"] - (7 << 20)  # kept encoded: 12 of RL's, 96 x 96 pixels and their mask
    assert prompts == pytest.approx(12 * 96 * 96 * (3 * 4 + 8), rel=0.01)
    folder = tmp_path / "two"
    (folder / "opd" / "seed-1").mkdir(parents=True)
    assert estimates_beside(folder) == []
    (folder / "plan.json").write_text(json.dumps(found))
    (folder / "opd" / "seed-1" / "usage.json").write_text(json.dumps(asdict(Usage(30.0, 20.0, 8 << 20))))
    time, cpu, memory = estimates_beside(folder)
    assert (time["estimated"], time["measured"]) == (first["seconds"], 30.0)
    assert (cpu["estimated"], cpu["measured"]) == (first["cpu_seconds"], 20.0)
    assert (memory["estimated"], memory["measured"]) == (prompts + (7 << 20), 8 << 20)


def test_a_run_keeps_what_it_used_and_its_next_start_adds_to_it(tmp_path: Path) -> None:
    assert usage_of(tmp_path) is None
    keep_usage(tmp_path, None)
    first = usage_of(tmp_path)
    assert first is not None
    assert first.cpu_seconds > 0
    assert first.peak_bytes > 10 << 20
    keep_usage(tmp_path, Usage.now())
    second = usage_of(tmp_path)
    assert second is not None
    assert 0 <= second.cpu_seconds - first.cpu_seconds < first.cpu_seconds


def test_the_command_refuses_after_its_tables(file: Path) -> None:
    file.write_text(file.read_text() + "[arm.none.stage.rl]\nlearning_rate = 9e-4\n[arm.other.stage.rl]\nsteps = 2\n")
    found = CliRunner().invoke(
        app, ["plan", str(file), "--device", "cpu", "--no-measure", "--accept", "stage.rl.steps"]
    )
    assert isinstance(found.exception, RecipeError)
    assert found.exception.exit_code == 2
    assert "`stage.rl.learning_rate` is" in str(found.exception)
    assert "stage.rl.steps` is" not in str(found.exception)
    for words in ("Cells of two", "unexplained", "accepted", "Budgets", "Memory of a process"):
        assert words in found.stdout


@pytest.mark.slow
def test_speeds_are_measured_once(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process tries each distinct stage and each suite; a second plan takes what the first has kept."""
    monkeypatch.setattr(measuring, "BUSY", 1e9)  # whatever else this machine does
    found = plan(file, tmp_path / "home" / "store", measure=True)
    assert all(one["seconds"] > 0 for one in found["cells"])
    assert found["estimates"]["peak_bytes"] > 100 << 20
    assert not (tmp_path / "home" / "store").exists()
    monkeypatch.setattr(measuring, "tried", lambda _: pytest.fail("measured again"))
    study = study_file.read(file)
    assert study is not None
    again = measured(
        [Entries(one, tmp_path / "home" / "store") for one in study.recipes.values()], tmp_path / "home" / "store"
    )
    assert 0 < found["estimates"]["peak_bytes"] - again.peak_bytes < 4 << 20
