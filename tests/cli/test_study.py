"""A study by its real command: killed, gone on, reused, one arm changed, some cells only; and what is refused."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from rich.console import Console
from typer.testing import CliRunner

from warmrl.cli import study_display
from warmrl.cli.main import app
from warmrl.domain.errors import UsageError, WarmrlError
from warmrl.engine import study_file
from warmrl.engine.entries import Entries
from warmrl.engine.experiment import Experiment
from warmrl.engine.progress import Progress
from warmrl.engine.run_folder import RunFolder
from warmrl.engine.run_place import known_study
from warmrl.engine.study_cells import Known
from warmrl.engine.study_file import Cell
from warmrl.engine.study_record import StudyRecord
from warmrl.testing.run import environment, results, write_recipe

POCKET = {"use": "pocket_geometry", "split": "train", "limit": 8}
RL = {"use": "grpo", "policy": "warm", "data": "train", "steps": 1, "prompts_per_step": 2, "samples_per_prompt": 2}
SFT = {"use": "sft", "data": "train", "steps": 1, "prompts_per_step": 2}
TABLES: dict[str, Any] = {
    "name": "small",
    "data": {"train": POCKET},
    "stage": {"rl": RL | {"max_tokens": 8}},
    "study": {"seeds": [1], "control": "none", "in_domain": "validation"},
    "arm": {
        "none": {"stage": {"warm": {"use": "none", "data": "train"}}},
        "sft": {"stage": {"warm": SFT}, "declared": {"stage.warm.steps": "a test"}},
    },
}


def process(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """The same by a person's shell, in a session of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "warmrl", "run", str(folder / "contract.json"), "--no-measure", *arguments],
        env=environment(folder),
        cwd=folder,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def made(run: Path) -> Mapping[str, bytes]:
    """What a cell must give byte for byte, however often it was killed."""
    files = [*run.glob("evaluations/*/samples.jsonl"), *run.glob("evaluations/*/scores.json")]
    return results(run) | {str(file.relative_to(run)): file.read_bytes() for file in files}


def children(pid: int) -> list[int]:
    """The processes that a process started and that are still there."""
    found = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(one) for one in found.read_text().split()]


def begun(folder: Path) -> bool:
    """Whether a stage of some cell has begun."""
    return any(folder.glob("home/store/*/key.json"))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc, and Linux for the signal")
def test_a_study_is_killed_goes_on_and_is_reused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Killed with -9 no cell goes on by itself, two processes then share the cells, and an arm's change is its own."""
    write_recipe(tmp_path, **TABLES)
    folder = tmp_path / "home" / "small"
    killed = process(tmp_path, "--only", "arm=sft")
    until = time.monotonic() + 200
    while not begun(tmp_path) and killed.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    cells = children(killed.pid)
    killed.kill()
    killed.communicate()
    assert cells, "no cell was at work"

    both = [process(tmp_path, "--only", f"arm={arm}") for arm in ("sft", "none")]
    ends = [one.communicate(timeout=300)[1] for one in both]
    assert [one.returncode for one in both] == [0, 0], ends
    assert not any(Path(f"/proc/{one}").exists() for one in cells)
    assert known_study(folder)["state"] == "finished"
    plan, report = (json.loads((folder / name).read_text()) for name in ("plan.json", "report.json"))
    assert [one["folder"] for one in plan["cells"]] == ["none/seed-1", "sft/seed-1"] and plan["used"] == {}
    assert report["kind"] == "study" and {one["name"]: one["seeds"] for one in report["arms"]} == {
        "none": [1],
        "sft": [1],
    }
    assert report["timings"]["estimates"] and "small" in (folder / "report.html").read_text()
    found = study_file.read(tmp_path / "contract.json")
    assert found is not None
    known = Known(found, folder, tmp_path / "home" / "store")
    assert known.why(Cell(1, "sft")) is None
    grades = next((tmp_path / "home" / "store").glob("*/grades-*"))
    grades.rename(aside := tmp_path / "grades")
    assert any("or their grades" in str(known.why(cell)) for cell in found.cells)
    aside.rename(grades)
    whole = RunFolder(tmp_path / "whole" / "run")
    Experiment(Entries(found.recipe(Cell(1, "sft")), tmp_path / "whole" / "store"), whole, Progress()).run()
    assert made(folder / "sft" / "seed-1") == made(whole.path)

    sets: tuple[str, ...] = ()
    for why, reused in [("", ["none/seed-1", "sft/seed-1"]), ("`stage.warm.steps`", ["none/seed-1"])]:
        in_process(tmp_path, monkeypatch, "", sets=sets)
        said = capsys.readouterr()
        assert json.loads(said.out.splitlines()[-1])["reused"] == reused
        assert said.err.count(": started.") == 2 - len(reused) and why in said.err
        sets = ("arm.sft.stage.warm.steps=2",)


def in_process(
    folder: Path, monkeypatch: pytest.MonkeyPatch, code: str, *only: str, sets: tuple[str, ...] = ()
) -> None:
    """The study in this process, whose cells run `code` instead of a recipe; without its plan and its report."""
    from warmrl.cli import study
    from warmrl.engine import study_child

    def command(cell: Cell, *_: Any) -> list[str]:
        return [sys.executable, "-S", "-c", code, cell.arm]

    monkeypatch.setenv("WARMRL_HOME", str(folder / "home"))
    monkeypatch.setattr(study_child, "cell_command", command)
    monkeypatch.setattr(study, "plan_once", lambda *_: None)
    monkeypatch.setattr(study, "report_study", lambda _: [])
    found = study_file.read(folder / "contract.json", sets)
    assert found is not None
    study.run_study(found, study.Asked(None, 2, only, ["match"], None, None, None, False, True), lambda: 0)


def test_a_failing_arm_ends_the_study_with_1_and_the_others_are_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_recipe(tmp_path, **TABLES)
    code = "import sys; sys.exit(sys.argv[1] == 'sft' and 'warmrl: It broke.')"
    with pytest.raises(WarmrlError, match=r"1 of 2 cells failed \(sft, seed 1\)") as failed:
        in_process(tmp_path, monkeypatch, code)
    assert failed.value.exit_code == 1
    said = capsys.readouterr()
    last = json.loads(said.out.splitlines()[-1])
    assert last["cells"] == {"finished": ["none/seed-1"], "failed": ["sft/seed-1"]}
    assert "Failed: sft, seed 1: It broke." in said.err
    folder = tmp_path / "home" / "small"
    assert json.loads((folder / "recipe.json").read_text())["name"] == "small"
    assert study_file.read(folder / "recipe.merged.json") is not None


def test_what_is_wrong_with_any_arm_is_refused_before_any_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_recipe(tmp_path, **TABLES)
    files = ("arm.sft.data.train.use=files", "arm.sft.data.train.path=nowhere.jsonl")
    for sets, words in [
        (("arm.sft.model.path=pocket:nowhere",), "In the arm `sft`: `model.path`"),
        (files, "In the arm `sft`: .*nowhere.jsonl"),
        (("arm.sft.stage.warm.steps=-1",), "In the arm `sft`.*`stage.warm.steps`"),
    ]:
        with pytest.raises(UsageError, match=words):
            in_process(tmp_path, monkeypatch, "", sets=sets)
    with pytest.raises(UsageError, match="no arm `opd`"):
        in_process(tmp_path, monkeypatch, "", "arm=opd")
    monkeypatch.setitem(os.environ, "RANK", "0")
    monkeypatch.setitem(os.environ, "WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="without a launcher"):
        in_process(tmp_path, monkeypatch, "")
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("terminal", [True, False])
def test_a_person_sees_where_every_cell_is(terminal: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table on a terminal, lines when piped: what is reused, why the rest runs, its stage, step and numbers."""
    write_recipe(tmp_path, **TABLES | {"study": TABLES["study"] | {"seeds": [1, 2]}})
    found = study_file.read(tmp_path / "contract.json")
    assert found is not None
    record, (none, sft, other, failing) = StudyRecord(found, tmp_path / "small"), found.cells
    record.begin({none: "finished", sft: "waiting", other: "waiting", failing: "waiting"})
    monkeypatch.setattr(study_display, "READ_SECONDS", 0.0)
    monkeypatch.setattr(study_display, "PLAIN_SECONDS", 0.0)
    stage = {"name": "small-sft-1", "state": "running", "now": {"stage": "rl", "store": "rl"}}
    settings = {"stage": {"warm": {"use": "sft", "steps": 1}, "rl": {"use": "grpo", "steps": 180}}}
    (record.folder / sft.folder / "rl").mkdir(parents=True)
    for name, text in [
        ("run.json", json.dumps(stage)),
        ("recipe.resolved.json", json.dumps(settings)),
        ("rl/metrics.jsonl", '{"step": 39}\n{"step": 40, "reward": 0.25, "entropy": 1.5}\n{"step": 41, "rew'),
    ]:
        (record.folder / sft.folder / name).write_text(text)
    console = Console(force_terminal=terminal, width=120, file=io.StringIO(), color_system=None)
    monkeypatch.setattr(study_display, "Console", lambda **_: console)
    with redirect_stderr(io.StringIO()) as piped, study_display.listener_for(record) as listener:
        listener.planned({none: None, sft: "it is new", failing: "it is new"})
        listener.started(sft)
        listener.look()
        if isinstance(listener, study_display.Shown):
            listener.live.refresh()
        listener.ended(sft, "finished", None)
        listener.started(failing)
        listener.ended(failing, "failed", "The disk is full.")
    assert isinstance(console.file, io.StringIO)
    said = console.file.getvalue() if terminal else piped.getvalue()
    shown = ["1 of 3 cells are finished and reused: none, seed 1", "To run (it is new): sft, seed 1; sft, seed 2"]
    shown += ["rl 40/180  reward 0.250  entropy 1.500", "The disk is full."]
    shown += ["seed 2", "waiting", "reused", "done 0:00", "failed 0:00"] if terminal else ["finished after 0:00"]
    for words in shown:
        assert words in said, said


def command(*arguments: str) -> Result:
    """`warmrl ARGUMENTS` in this process."""
    return CliRunner().invoke(app, arguments)


def test_options_of_a_study_are_refused_for_a_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("warmrl.engine.signals.Stopping", lambda: lambda: 0)  # this process keeps its own
    recipe = write_recipe(tmp_path, stage={"rl": RL | {"policy": "base"}})
    given = {
        "jobs": ["2"],
        "only": ["arm=sft"],
        "cell": ["sft,1"],
        "accept": ["match"],
        "measure": [],
        "no-measure": [],
    }
    for option, values in given.items():
        refused = command("run", str(recipe), f"--{option}", *values).exception
        assert isinstance(refused, UsageError) and f"`--{option}` is for a study" in str(refused)


def test_recipe_commands_know_studies(tmp_path: Path) -> None:
    recipe = str(write_recipe(tmp_path, **TABLES))
    assert "2 arms x 1 seeds, 2 cells" in command("recipe", "check", recipe).output
    show = json.loads(command("recipe", "show", recipe).output)
    assert {arm: table["stage"]["warm"]["use"] for arm, table in show.items()} == {"none": "none", "sft": "sft"}
    one = json.loads(command("recipe", "show", recipe, "--arm", "sft").output)
    assert one == show["sft"] and one["name"] == "small-sft-1"
    assert "no cell `sft,9`" in str(command("recipe", "show", recipe, "--arm", "sft", "--seed", "9").exception)
    diff = json.loads(command("recipe", "diff", recipe, "--arms", "none,sft", "--json").output)
    assert diff["stage.warm.use"] == ["none", "sft"] and all(key.startswith("stage.warm") for key in diff)
    assert "two recipes, or one study" in str(command("recipe", "diff", recipe).exception)
