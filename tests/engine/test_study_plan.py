"""The plan of a study: what runs and what is shared, its estimates, and those beside what happened."""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from tiny_runs import RECIPE, Home
from typer.testing import CliRunner

from warmrl.cli.main import app
from warmrl.domain.errors import Interrupted, RecipeError, UsageError
from warmrl.engine import study_file
from warmrl.engine import study_plan as planning
from warmrl.engine.entries import Entries
from warmrl.engine.forecast import measuring as process
from warmrl.engine.forecast import speeds as measuring
from warmrl.engine.forecast.speeds import Speed, Speeds, answers_key, measured, stage_speed_key
from warmrl.engine.study_plan import estimates_beside, study_plan, used
from warmrl.engine.usage import KeptUsage, Usage, usage_of

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
    other = folder / "opd" / "seed-2"  # reused: made before the plan
    other.mkdir()
    found["cells"][2] |= {"stages": [], "evaluations": []}
    for run, usage in [(folder / "opd" / "seed-1", Usage(70.0, 60.0, 6 << 20)), (other, Usage(9e3, 9e3, 1))]:
        (run / "usage.json").write_text(json.dumps(asdict(usage)))
    before = used(study, folder)
    assert set(before) == {"opd/seed-1", "opd/seed-2"}
    (folder / "plan.json").write_text(json.dumps(found | {"used": before}))
    for run in (folder / "opd" / "seed-1", other):
        (run / "run.json").write_text('{"state": "finished"}')
    assert estimates_beside(folder) == []
    (folder / "opd" / "seed-1" / "usage.json").write_text(json.dumps(asdict(Usage(100.0, 80.0, 8 << 20))))
    time, cpu, memory = estimates_beside(folder)
    assert (time["estimated"], time["measured"]) == (first["seconds"], 30.0)
    assert (cpu["estimated"], cpu["measured"]) == (first["cpu_seconds"], 20.0)
    assert (memory["estimated"], memory["measured"]) == (prompts + (7 << 20), 8 << 20)


def test_a_run_keeps_what_it_used_and_its_next_start_adds_to_it(tmp_path: Path) -> None:
    assert usage_of(tmp_path) is None
    KeptUsage(tmp_path, None).keep()
    first = usage_of(tmp_path)
    assert first is not None
    assert first.cpu_seconds > 0
    assert first.peak_bytes > 10 << 20
    again = KeptUsage(tmp_path, Usage.now())
    for _ in range(3):  # along the way, too: nothing is added twice
        again.keep()
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


def test_a_dry_run_plans_the_cells_that_are_asked_for_and_no_other_folder(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stand_in(*_: Any, only: Any, **__: Any) -> dict[str, Any]:
        return {"cells": list(map(str, only)), "fairness": [], "refused": []}

    monkeypatch.setattr(planning, "study_plan", stand_in)
    found = CliRunner().invoke(app, ["run", str(file), "--dry-run", "--json", "--only", "arm=none,seed=2"])
    assert json.loads(found.stdout)["cells"] == ["none, seed 2"]
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "run.json").write_text('{"name": "two"}')
    refused = CliRunner().invoke(app, ["plan", str(file), "--out", str(tmp_path / "taken")])
    assert isinstance(refused.exception, UsageError) and "holds a run of the recipe `two`" in str(refused.exception)


def test_what_measures_ends_with_whoever_waits_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    patient = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
    log = tmp_path / "log.txt"
    with pytest.raises(Interrupted, match="while speeds were measured"):
        measuring.said([sys.executable, "-S", "-c", patient], log, lambda: 15 if log.read_text() else 0)
    with pytest.raises(ProcessLookupError):
        os.kill(int(log.read_text()), 0)
    assert measuring.said([sys.executable, "-S", "-c", "print('a'); print('b')"], log, lambda: 0) == "b"
    monkeypatch.setattr(process, "try_all", lambda *_: signal.raise_signal(signal.SIGTERM))
    (place := tmp_path / "place").mkdir()
    (place / "asked.json").write_text("[]")
    before = {one: signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT)}
    try:
        with pytest.raises(SystemExit):
            process.main(place / "asked.json", place / "told.json")
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
    assert not place.exists()


@pytest.mark.slow
def test_speeds_are_measured_once(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process tries each distinct stage and each suite; a second plan takes what the first has kept."""
    monkeypatch.setattr(measuring, "BUSY", 1e9)  # whatever else this machine does
    found = plan(file, tmp_path / "home" / "store", measure=True)
    assert all(one["seconds"] > 0 for one in found["cells"])
    assert found["estimates"]["peak_bytes"] > 100 << 20
    assert not (tmp_path / "home" / "store").exists()
    monkeypatch.setattr(measuring, "tried", lambda *_: pytest.fail("measured again"))
    study = study_file.read(file)
    assert study is not None
    again = measured(
        [Entries(one, tmp_path / "home" / "store") for one in study.recipes.values()], tmp_path / "home" / "store"
    )
    assert 0 < found["estimates"]["peak_bytes"] - again.peak_bytes < 4 << 20
