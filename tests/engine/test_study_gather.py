"""What a study's report reads of its cells' folders: whole, absent, running, failed, and of an older recipe."""

import json
import os
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from report.simulated_study import Simulation

from warmrl.engine import study_file, study_gather
from warmrl.engine.run_folder import RESOLVED
from warmrl.engine.study_file import Cell, StudyFile
from warmrl.engine.study_gather import gather
from warmrl.engine.study_report import write_study_report
from warmrl.report.study import build

RECIPE = Path(__file__).parents[2] / "recipes" / "study" / "stage1_pocket.toml"
SEEDS = (1, 2, 3)


@cache
def study() -> StudyFile:
    found = study_file.read(RECIPE, [f"study.seeds={list(SEEDS)}"])
    assert found
    return found


@cache
def simulated() -> dict[str, Any]:
    """Three of the study's arms, as simulated runs."""
    own = Simulation(suites={"validation": (0.0, 20), "charts": (0.8, 20)}, outcome_steps=4, points=2, draws=200)
    return Simulation(**{**vars(own), "arms": {name: own.arms[name] for name in ("sft", "opd")}}).known()


def write(file: Path, value: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(value if isinstance(value, str) else json.dumps(value))


def write_cell(folder: Path, cell: Cell, state: str = "finished") -> Path:
    """A cell's run folder with what the engine writes there."""
    here, known = folder / cell.folder, simulated()
    mine = [one for one in known["evaluations"] if (one["arm"], one["seed"]) in ((cell.arm, cell.seed), (None, None))]
    write(here / "run.json", {"state": state})
    write(here / RESOLVED, study().recipe(cell).resolved() | {"launch": {"processes": 2}})
    write(
        here / "environment.json",
        {"torch": "2.13.0", "command": f"warmrl run --cell {cell.arm},{cell.seed}", "devices": ["cpu"]},
    )
    for one in mine:
        kept = {key: one[key] for key in ("suite", "problems", "metrics", "right", "n")}
        write(here / "evaluations" / f"{one['checkpoint']}.{one['suite']}" / "scores.json", kept)
    for one in known["probe"]:
        if (one["arm"], one["seed"]) in ((cell.arm, cell.seed), (None, None)):
            kept = {key: value for key, value in one.items() if key not in ("arm", "seed")}
            write(here / "probes" / f"{one['checkpoint']}.json", kept)
    rows = [row for row in known["training"] if (row["arm"], row["seed"]) == (cell.arm, cell.seed)]
    write(here / "metrics.jsonl", "".join(json.dumps(row) + "\n" for row in rows) + '{"torn')
    timing = {"stage": "rl", "step": 1, "steps": 4, "rollout": 1.5, "train": 0.5, "tokens_per_second": 10.0}
    write(here / "timings.jsonl", 2 * (json.dumps(timing) + "\n"))
    for row in known["work"]:
        if (row["arm"], row["seed"], row["stage"]) == (cell.arm, cell.seed, "rl"):
            work = {key: value for key, value in row.items() if key not in ("arm", "seed", "stage", "part")}
            write(here / "stages" / "rl" / "done.json", {"steps": 4, "work": work})
    used = [f"{one['checkpoint']} on {one['suite']}" for one in mine]
    report = {
        "kind": "run",
        "checkpoints": [{"name": one["checkpoint"], "stage": one["stage"], "step": None} for one in mine],
        "sampling": [{"settings": {"temperature": 1.0, "samples": 16}, "used_by": used}],
        "stages": [{"name": "warm", "seconds": 3.0}, {"name": "rl", "seconds": 9.0}],
        "probe": {"flags": [{"sentence": "Entropy collapse at `warm`."}]},
        "findings": [
            "Same in all.",
            "Entropy collapse at `warm`. So at 2 of 2 points.",
            *(["Here alone."] if cell == Cell(1, "opd") else []),
        ],
    }
    write(here / "report.json", report)
    return here


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(study_gather, "estimates", lambda folder: [{"what": "time", "estimated": 1.0, "measured": 2.0}])
    cells = [Cell(seed, arm) for seed in SEEDS for arm in ("sft", "opd")]
    for cell in cells:
        write_cell(tmp_path, cell)
    about = [{"arm": cell.arm, "seed": cell.seed, "state": "finished", "error": None} for cell in cells]
    about.append(
        {
            "arm": "specs",
            "seed": 1,
            "state": "failed",
            "error": "Traceback:\n  /home/one/it.py\nOut of memory: /data/two/it.toml.",
        }
    )
    about.append({"arm": "none", "seed": 1, "state": "running", "error": None})
    rows = [one | {"folder": f"{one['arm']}/seed-{one['seed']}"} for one in about]
    write(tmp_path / "study.json", {"name": "small", "state": "running", "cells": rows})
    write(tmp_path / "plan.json", {"fairness": [{"path": "match", "arms": {}, "status": "matched", "reason": None}]})
    return tmp_path


def test_time_has_what_no_stage_took(folder: Path) -> None:
    """Of 100 seconds its own stage took 9; the other stage was there before the run began."""
    here = folder / "opd" / "seed-2"
    write(here / "run.json", {"state": "finished", "started": "2026-01-02T00:00:00+00:00"})
    write(here / "usage.json", {"seconds": 100.0, "cpu_seconds": 90.0, "peak_bytes": 1})
    write(here / "stages" / "warm" / "done.json", {"steps": 4})
    os.utime(here / "stages" / "warm" / "done.json", (1_600_000_000, 1_600_000_000))
    rest = [row for row in gather(study(), folder)["timings"] if row["phase"] == "evaluation and the rest"]
    assert [(row["arm"], row["seed"], row["stage"], row["seconds"]) for row in rest] == [("opd", 2, "", 91.0)]


def states(found: dict[str, Any]) -> dict[tuple[str, int], str]:
    return {(cell["arm"], cell["seed"]): cell["state"] for cell in found["cells"]}


def test_everything_there_is_read_and_reported(folder: Path) -> None:
    found = gather(study(), folder)
    own = states(found)
    assert {own[arm, seed] for arm in ("sft", "opd") for seed in SEEDS} == {"finished"}
    assert (own["specs", 1], own["none", 1], own["none", 2]) == ("failed", "running", "waiting")
    assert {cell["error"] for cell in found["cells"]} == {None, "Out of memory: it.toml."}
    points = {(one["arm"], one["seed"], one["point"], one["suite"]) for one in found["evaluations"]}
    assert (None, None, "base", "charts") in points and ("opd", 2, "entry", "validation") in points
    assert len(found["evaluations"]) == len(points) == 2 + 2 * 2 * 6
    assert sum(one["arm"] is None for one in found["probe"]) == 1
    assert found["evaluations"][0]["settings"]["samples"] == 16 and found["domain"] == {
        "in": "validation",
        "out": ["charts"],
    }
    assert found["environment"]["opd/seed-1"] == {"torch": "2.13.0"}
    assert "Same in all." in found["findings"] and "Here alone. (opd, seed 1)" in found["findings"]
    assert not any("collapse" in text for text in found["findings"])
    assert all("step" in row for row in found["training"]) and found["fairness"][0]["path"] == "match"
    phases = {(row["stage"], row["phase"]): row["seconds"] for row in found["timings"] if row["arm"] == "opd"}
    assert phases == {("rl", "rollout"): 3.0, ("rl", "train"): 1.0, ("warm", "stages without steps"): 3.0}
    work = {row["stage"]: row for row in found["work"] if (row["arm"], row["seed"]) == ("opd", 1)}
    assert work["rl"]["part"] == "outcome" and work["rl"]["prompts"] == 128 and "prompts" not in work["warm"]
    report = build(found)
    assert report["timings"]["estimates"] == [{"what": "time", "estimated": 1.0, "measured": 2.0}]
    assert any("specs, seed 1, failed" in text for text in report["findings"])
    assert {row["arm"] for row in report["methods"]["contrasts"]} == {"sft", "opd"}
    assert report["budget"]["matched"][0]["status"] == "not counted"
    assert report["reproduce"][2].endswith("--only arm=none,seed=1")
    (folder / "opd" / "seed-2" / "run.json").unlink()
    for line, point in zip(gather(study(), folder)["reproduce"][3:], ("rl", "warm"), strict=True):
        runs = {"sft": (1, 2), "opd": (1, 3)}
        sides = [f"{arm}={','.join(f'$STUDY/{arm}/seed-{seed}#{point}' for seed in runs[arm])}" for arm in runs]
        assert all(side in line for side in sides) and "specs" not in line and line.endswith("--control sft")


def test_a_cell_of_an_older_recipe_is_left_out_and_named(folder: Path) -> None:
    file = folder / "opd" / "seed-2" / RESOLVED
    older = json.loads(file.read_text())
    older["stage"]["warm"]["steps"] = 7
    older["model"]["revision"] = "0123abcd"
    write(file, older)
    found = gather(study(), folder)
    assert states(found)["opd", 2] == "outdated"
    assert not any((one["arm"], one["seed"]) == ("opd", 2) for one in found["evaluations"])
    (said,) = [text for text in build(found)["findings"] if "another" in text]
    assert "opd, seed 2" in said and "`stage.warm.steps`" in said and "revision" not in said


def test_another_base_is_a_finding(folder: Path) -> None:
    file = folder / "opd" / "seed-3" / "evaluations" / "base.charts" / "scores.json"
    other = json.loads(file.read_text())
    other["metrics"]["entropy"]["values"][0] += 0.5
    write(file, other)
    probe = folder / "opd" / "seed-1" / "probes" / "base.json"
    other = json.loads(probe.read_text())
    other["metrics"]["entropy"]["values"][0] += 0.5
    write(probe, other)
    said = " ".join(gather(study(), folder)["findings"])
    assert "base has other scores on `charts`" in said and "base has other scores on the probe of `probe`" in said


def test_an_empty_folder_and_a_torn_report_are_not_fatal(tmp_path: Path) -> None:
    assert set(states(gather(study(), tmp_path)).values()) == {"waiting"}
    here = write_cell(tmp_path, Cell(1, "sft"))
    write(here / "report.json", '{"kind": "run", "che')
    found = gather(study(), tmp_path)
    assert states(found)["sft", 1] == "waiting" and found["evaluations"] == []
    assert build(found)["endpoints"] == []


def test_the_report_is_written_beside_its_cells(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a stand-in for the page and the browser, which have tests of their own."""
    browser = ModuleType("warmrl.engine.sample_browser")
    browser.write_browser = lambda study, folder: {"folder": "browser", "chunks": 1, "problems": 20}  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, browser.__name__, browser)
    monkeypatch.setattr("warmrl.report.output.html.render", lambda report: report["name"])
    report = write_study_report(study(), folder)
    assert json.loads((folder / "report.json").read_text()) == report
    assert report["kind"] == "study" and report["browser"]["chunks"] == 1
    assert (folder / "report.md").read_text().startswith("# stage1")
    before = (folder / "report.json").read_bytes()
    write_study_report(study(), folder)
    assert (folder / "report.json").read_bytes() == before
