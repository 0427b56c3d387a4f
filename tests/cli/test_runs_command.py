"""`warmrl runs`: what there is and what it takes, and that nothing is removed that any run refers to."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
import run_folders as made
from filelock import FileLock
from typer.testing import CliRunner

from warmrl.cli.main import app
from warmrl.domain.errors import UsageError
from warmrl.engine import pruning
from warmrl.engine.run_place import newest_run
from warmrl.engine.run_process import this_process

LONG_AGO = 1_600_000_000


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WARMRL_HOME", str(tmp_path))
    return tmp_path


def warmrl(*arguments: str) -> str:
    """What a command prints. Raises what it was refused with."""
    found = CliRunner().invoke(app, ["runs", *arguments], env={"COLUMNS": "200"})
    if found.exception and not isinstance(found.exception, SystemExit):
        raise found.exception
    return found.stdout if "--json" in arguments else found.output


def asked(*arguments: str) -> list[dict]:
    """Its JSON."""
    return json.loads(warmrl(*arguments, "--json").splitlines()[-1])


def names(rows: list[dict]) -> list[str]:
    return [Path(one["run"]).name for one in rows]


def listed(home: Path) -> Path:
    """Two runs that share an entry, a study with two cells, a measurement, a damaged and a foreign folder."""
    for key in ("shared", "alone", "cell-1", "cell-2"):
        made.entry(home, key, size=100_000)
    one = made.run(home, "one", {"warm": "shared", "rl": "alone"})
    endpoints = [
        {"checkpoint": at, "suite": "v", "metric": "accuracy", "value": v} for at, v in (("base", 0.1), ("rl", 0.7))
    ]
    made.write(one / "report.json", {"endpoints": endpoints})
    made.run(home, "two", {"warm": "shared"}, "stopped", name="a-recipe")
    folder = made.study(home, [("sft", 1, "finished"), ("opd", 1, "failed")], "failed")
    made.run(home, "many/sft/seed-1", {"rl": "cell-1"})
    made.run(home, "many/opd/seed-1", {"rl": "cell-2"}, "running", process={"host": "x", "pid": 1, "since": "2020"})
    made.run(home, "measured", {}, "finished", targets=[], extra=["samples-1"])
    made.write(home / "foreign" / "run.json", {"name": "x", "state": 3})
    return folder


def test_runs_are_listed_with_what_they_found_and_take(home: Path) -> None:
    listed(home)
    (home / "torn").mkdir()
    (home / "torn" / "run.json").write_text('{"name": ')
    rows = {Path(one["run"]).name: one for one in asked("list")}
    assert list(rows) == ["many", "measured", "one", "two"], "cells are folded"
    assert rows["one"]["result"]["value"] == 0.7 and rows["one"]["shared_with"] == ["two"]
    assert 100_000 < rows["one"]["own_bytes"] < 101_000 and 100_000 < rows["one"]["shared_bytes"] < 101_000
    assert rows["two"]["own_bytes"] == 0 and rows["two"]["state"] == "stopped"
    assert rows["many"]["result"] == {"finished": 1, "cells": 2} and rows["many"]["own_bytes"] > 200_000
    assert rows["many"]["folder_bytes"] > 0 and rows["many"]["shared_with"] == []
    text = warmrl("list")
    assert "torn/run.json cannot be read" in text and "foreign/run.json is none of warmrl's" in text
    assert "accuracy 0.700 (rl, v)" in text and "1/2 cells" in text


def test_the_list_is_filtered_and_sorted(home: Path) -> None:
    listed(home)
    os.utime(home / "one" / "run.json", (LONG_AGO, LONG_AGO))
    assert names(asked("list", "--cells")) == ["many", "seed-1", "seed-1", "measured", "one", "two"]
    assert names(asked("list", "--study", "many", "--cells")) == ["many", "seed-1", "seed-1"]
    assert names(asked("list", "--state", "stopped")) == ["two"]
    assert names(asked("list", "--recipe", "meas")) == ["measured"]
    assert "one" not in names(asked("list", "--newer-than", "2d"))
    assert names(asked("list", "--sort", "size"))[0] == "many"
    for option, value in (("--sort", "colour"), ("--newer-than", "yesterday")):
        with pytest.raises(UsageError, match=value):
            asked("list", option, value)


def test_a_study_and_its_cells_say_what_the_other_cannot(home: Path) -> None:
    """Of a cell that was killed only the study knows that it failed; since when a study is, only its cells."""
    folder = listed(home)
    about = json.loads((folder / "sft/seed-1/run.json").read_text())
    made.write(folder / "sft/seed-1/run.json", about | {"started": "2026-01-01T10:00:00", "ended": "2026-01-01T11:00"})
    gone = this_process() | {"since": "2000-01-01T00:00:00+00:00"}
    about = json.loads((folder / "opd/seed-1/run.json").read_text())
    made.write(folder / "opd/seed-1/run.json", about | {"process": gone, "started": "2026-01-01T09:00:00"})
    rows = {one["run"].removeprefix(str(home)): one for one in asked("list", "--cells")}
    assert rows["/many/opd/seed-1"]["state"] == "failed", "its process is gone, and the study saw how"
    study = rows["/many"]
    assert (study["started"], study["ended"]) == ("2026-01-01T09:00:00", "2026-01-01T11:00")


def test_a_foreign_study_is_left_alone(home: Path) -> None:
    folder = listed(home)
    made.write(folder / "study.json", {"name": "many", "state": "running", "cells": ["x"]})
    assert "none of warmrl's" in warmrl("list", "--cells") and "many" not in names(asked("list"))


def test_eighty_columns_hold_what_tells_most(home: Path) -> None:
    listed(home)
    text = CliRunner().invoke(app, ["runs", "list", "--cells"], env={"COLUMNS": "80"}).output
    table = [line for line in text.splitlines() if "skipped" not in line]
    assert max(map(len, table)) <= 80
    assert re.search(r"many/sft/seed-1 .*MiB", text) and re.search(r"one .* accuracy 0\.700 +[0-9.]+ MiB", text)


def test_the_newest_run_may_be_a_cell(home: Path) -> None:
    listed(home)
    for folder in ("one", "two"):
        os.utime(home / folder / "run.json", (LONG_AGO, LONG_AGO))
    assert newest_run() == home / "many/sft/seed-1"


def test_a_study_is_shown_by_its_report(home: Path) -> None:
    folder = listed(home)
    with pytest.raises(UsageError, match=r"no report\.md"):
        warmrl("show", str(folder))
    (folder / "report.md").write_text("# The study\n")
    assert warmrl("show", str(folder)).startswith("# The study")
    assert warmrl("show", str(folder.relative_to(home))).startswith("# The study"), "as the list names it"


def test_nothing_is_pruned_that_any_run_refers_to(home: Path) -> None:
    listed(home)
    for key in ("samples-1", "from-now", "loose"):
        made.entry(home, key)
    made.at_work(home, "at_work", "from-now")
    before = {one.name for one in (home / "store").iterdir() if one.is_dir()}
    dry = json.loads(warmrl("prune", "--json"))
    assert [Path(one).name for one in dry["entries"]] == ["loose"] and dry["removed"] is False
    assert (home / "store" / "loose").exists(), "dry by default"
    assert "1 entries, 0.0 MiB removed" in warmrl("prune", "--yes")
    assert {one.name for one in (home / "store").iterdir() if one.is_dir()} == before - {"loose"}


def test_only_what_is_old_is_pruned(home: Path) -> None:
    made.run(home, "one", {})
    for key in ("new", "old"):
        made.entry(home, key)
    for file in (home / "store" / "old").rglob("*"):
        os.utime(file, (LONG_AGO, LONG_AGO))
    assert names([{"run": one} for one in json.loads(warmrl("prune", "--older-than", "1w", "--json"))["entries"]]) == [
        "old"
    ]


def test_what_a_run_is_at_work_on_is_left(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made.run(home, "one", {})
    for key in ("locked", "taken"):
        made.entry(home, key)
    real = pruning.references_now

    def taken(*given: object) -> pruning.References:
        made.run(home, "other", {"rl": "taken"}, "running")  # begins between the look and the removal
        return real(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(pruning, "references_now", taken)
    with FileLock(home / "store" / ".locked.lock"):
        said = json.loads(warmrl("prune", "--yes", "--json"))
    assert said["entries"] == {} and {Path(one).name: why for one, why in said["left"].items()} == {
        "locked": "a run is at work on it",
        "taken": "a run that began meanwhile refers to it",
    }
    assert (home / "store/locked/policy").exists() and (home / "store/taken/policy").exists()


def test_a_damaged_run_stops_a_prune_and_a_foreign_one_does_not(home: Path) -> None:
    listed(home)
    made.entry(home, "loose")
    (home / "torn").mkdir()
    (home / "torn" / "run.json").write_text("{")
    with pytest.raises(UsageError, match="what it refers to is not known"):
        warmrl("prune", "--yes")
    assert (home / "store" / "loose").exists()
    warmrl("prune", "--yes", "--ignore-damaged")
    assert not (home / "store" / "loose").exists() and (home / "store" / "cell-2").exists()


def test_runs_elsewhere_count_where_they_are_named(home: Path) -> None:
    made.entry(home, "far")
    made.run(home / "elsewhere" / "deeper", "one", {"rl": "x"})
    file = home / "elsewhere/deeper/one/run.json"
    known = json.loads(file.read_text())
    made.write(file, known | {"entries": ["../../../store/far"], "stages": {}})
    assert json.loads(warmrl("prune", "--json", "--also", str(home / "elsewhere/deeper")))["entries"] == {}
    assert len(json.loads(warmrl("prune", "--json"))["entries"]) == 1


def test_also_takes_a_run_or_a_study_and_refuses_what_is_none(home: Path) -> None:
    made.entry(home, "far")
    for name in ("one", "many/sft/seed-1"):
        file = made.run(home / "elsewhere", name, {"rl": "x"}) / "run.json"
        up = "../" * (len(Path(name).parts) + 1)
        made.write(file, json.loads(file.read_text()) | {"entries": [f"{up}store/far"], "stages": {}})
    made.study(home / "elsewhere", [("sft", 1, "finished")], "finished")
    for name in ("one", "many", "many/sft/seed-1"):
        assert json.loads(warmrl("prune", "--json", "--also", str(home / "elsewhere" / name)))["entries"] == {}, name
    for name in ("nowhere", "store"):
        with pytest.raises(UsageError, match="holds no run"):
            warmrl("prune", "--yes", "--also", str(home / name))
    assert (home / "store" / "far").exists()


def test_policies_between_steps_stay_where_somebody_names_them(home: Path) -> None:
    steps = (5, 10, 15, 20, 25, 30)
    made.entry(home, "rl-key", steps)
    made.entry(home, "begun", (5,))
    one = made.run(home, "one", {"rl": "rl-key"})
    recipe = {"stage": {"rl": {"use": "grpo"}}, "eval": {"at": ["base", "rl@5", "rl"]}}
    made.write(one / "recipe.resolved.json", recipe)
    made.write(one / "probes" / "rl@10.json", {})
    made.write(one / "handoffs" / "rl" / "rl@15.json", {})
    made.write(one / "evaluations" / "rl@20.charts" / "scores.json", {})
    other = made.run(home, "other", {"begun": "begun"}, "running")
    made.write(other / "recipe.resolved.json", {"stage": {"warm": {"teacher": {"path": "runs/one#rl@25"}}}})
    assert json.loads(warmrl("prune", "--json"))["entries"] == {}, "only when asked for"
    gone = json.loads(warmrl("prune", "--policies", "--yes", "--json"))["entries"]
    assert [Path(one).name for one in gone] == ["step-000030"] and set(gone.values()) == {1000}
    assert len(list((home / "store/rl-key/policies").iterdir())) == 5, "an unfinished run keeps all of its own"
    assert (home / "store/begun/policies/step-000005").exists()
