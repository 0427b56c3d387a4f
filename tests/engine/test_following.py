"""Runs are followed from their files while others write them; a step's extremes are among what is kept of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import run_folders as made
from tiny_runs import Home

from warmrl.domain.group import Completion, Group
from warmrl.domain.problem import Problem
from warmrl.engine.following import Run
from warmrl.engine.following_study import Study
from warmrl.engine.journal_tail import JournalTail
from warmrl.engine.progress import Progress
from warmrl.engine.run_process import alive, this_process
from warmrl.engine.training import ROLLOUTS_KEPT, shown

LONG_AGO = 1_600_000_000


def followed(folder: Path) -> Run:
    run = Run(folder)
    run.poll()
    return run


def test_a_journal_is_read_on_and_never_twice(tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    tail = JournalTail(file)
    assert tail.more() == (False, [])
    made.add(file, {"step": 1})
    with file.open("a") as stream:
        stream.write('{"step": 2, "lo')
    assert tail.more() == (False, [{"step": 1}]), "a torn line waits"
    with file.open("a") as stream:
        stream.write('ss": 1}\nnoise\n')
    assert tail.more() == (False, [{"step": 2, "loss": 1}])
    assert tail.more() == (False, [])


def test_a_journal_that_was_cut_back_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    made.add(file, *({"step": step} for step in range(30)))
    tail = JournalTail(file)
    assert len(tail.more()[1]) == 30
    file.write_text("")
    made.add(file, *({"step": step, "again": True} for step in range(40)))  # longer than it was
    again, rows = tail.more()
    assert again and len(rows) == 40 and all(row["again"] for row in rows)


def test_of_a_long_journal_only_the_end_is_read(tmp_path: Path) -> None:
    file = tmp_path / "rollouts.jsonl"
    made.add(file, *({"step": step} for step in range(1000)))
    rows = JournalTail(file, most=200).more()[1]
    assert rows[-1] == {"step": 999} and 10 < len(rows) < 20
    curve = JournalTail(file, thin=100)
    steps = [row["step"] for row in curve.more()[1]]
    assert steps == [*range(0, 999, 10), 999], "and for a curve, every so manieth row"
    made.add(file, {"step": 1000})
    assert curve.more() == (False, [{"step": 1000}])


def test_a_run_at_work(tmp_path: Path) -> None:
    run = followed(made.at_work(tmp_path))
    assert run.state == "running" and run.quiet() < 60
    assert [(one.name, one.state, one.step, one.steps) for one in run.stages] == [
        ("warm", "waiting", None, None),
        ("rl", "running", 4, 40),
    ]
    assert run.left == 36 * 2.0
    assert run.journals is not None and run.journals.curves["reward"] == [(n, 0.1 * n) for n in (1, 2, 3, 4)]
    made.one_step(tmp_path / "store/rl-key", 5)
    run.poll()
    assert run.journals.step == 5 and [one["problem"] for one in run.journals.rollouts] == ["p5"]


def test_a_run_that_died_is_said_to_have(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    gone = this_process() | {"pid": child.pid}
    assert followed(made.at_work(tmp_path, process=gone)).state == "died"
    later = this_process() | {"since": "2020-01-01T00:00:00+00:00"}
    assert alive(later) is False, "the id is somebody else's now"


def test_a_run_on_another_machine_is_silent_only_after_long(tmp_path: Path) -> None:
    folder = made.at_work(tmp_path, process=this_process() | {"host": "elsewhere"})
    assert followed(folder).state == "running"
    for file in (folder / "run.json", tmp_path / "store/rl-key/metrics.jsonl"):
        os.utime(file, (LONG_AGO, LONG_AGO))
    assert followed(folder).state == "silent"


def test_an_evaluation_in_progress_is_counted(tmp_path: Path) -> None:
    now = {"checkpoint": "rl@20", "suite": "charts", "kind": "greedy", "answers": 8, "store": "../store/samples-x"}
    folder = made.run(tmp_path, "one", {"rl": "key"}, "running", now=now)
    made.entry(tmp_path, "key")
    made.add(tmp_path / "store/samples-x/block-1.jsonl", {}, {}, {})
    run = followed(folder)
    assert run.doing == "evaluating rl@20 on charts (greedy), 3/8 answers"
    assert run.stage is not None and (run.stage.state, run.stage.step) == ("done", 40)
    made.add(tmp_path / "store/samples-x/block-2.jsonl", {}, {}, {}, {}, {})
    run.poll()
    assert run.doing.startswith("grading rl@20")


@pytest.mark.parametrize("text", ["", "[1]", "{", '{"state": "running", "stages": 3, "now": [], "order": 1}', "\x00"])
def test_foreign_files_are_no_traceback(text: str, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(text)
    (tmp_path / "recipe.resolved.json").write_text('{"stage": {"rl": 1}}')
    run = followed(tmp_path)
    assert run.state in ("unreadable", "running") and not run.doing.startswith("eval")
    assert run.left is None and run.headline() is None and len(run.stages) <= 1


def test_a_study_follows_its_cells(tmp_path: Path) -> None:
    folder = made.study(tmp_path, [("sft", 1, "finished"), ("opd", 1, "running"), ("opd", 2, "waiting")])
    made.at_work(tmp_path, "many/opd/seed-1", "opd-key")
    found = Study(folder)
    found.poll()
    assert found.state == "running" and [one.state for one in found.cells] == ["finished", "running", "waiting"]
    before = found.cells[1].run
    made.study(tmp_path, [("sft", 1, "finished"), ("opd", 1, "finished"), ("opd", 2, "failed")], "failed")
    found.poll()
    assert found.state == "failed" and found.cells[1].run is before and before.journals is not None


def group(number: int, *completions: tuple[float, str]) -> Group:
    made_of = [Completion((1,), "", finish=f, reward=r, rewards={"math": r}) for r, f in completions]  # type: ignore[arg-type]
    return Group(Problem(f"p{number}", (), "1"), made_of)


def test_the_extremes_of_a_step_are_kept() -> None:
    plain = [group(number, (0.5, "stop"), (0.5, "stop")) for number in range(12)]
    kept = [*plain]
    kept[6], kept[8], kept[10] = (
        group(6, (0.5, "stop"), (1.0, "stop")),
        group(8, (0.0, "stop")),
        group(10, (0.5, "length")),
    )
    assert [one.problem.id for one in shown(kept)] == ["p0", "p1", "p2", "p3", "p6", "p8", "p10"]
    assert len(shown(plain)) == ROLLOUTS_KEPT, "none twice"
    kept[2] = group(2, (1.0, "length"), (0.0, "stop"))
    assert [one.problem.id for one in shown(kept)] == ["p0", "p1", "p2", "p3"]
    assert shown(plain[:2]) == plain[:2]


@pytest.mark.slow
def test_a_real_run_is_followed_step_by_step(tmp_path: Path) -> None:
    """What a run writes is what is looked for: the same steps as it tells its own listener, and how it ended."""
    home, run, seen = Home(tmp_path), Run(tmp_path / "run"), []

    class Looking(Progress):
        def step(self, row: dict, timing: dict) -> None:
            run.poll()
            stage = run.stage
            assert run.state == "running" and stage is not None and run.journals is not None
            seen.append((stage.name, stage.step, stage.steps, len(run.journals.curves["entropy"])))
            assert run.journals.row == row and run.journals.rollouts[0]["step"] == row["step"]

        def evaluating(self, checkpoint: str, suite: str, done: int, total: int) -> None:
            run.poll()
            assert f"{checkpoint} on {suite.partition(' ')[0]} (" in run.doing

    home.run(progress=Looking())
    run.poll()
    assert seen == [(name, step, 3, step) for name in ("warm", "rl") for step in (1, 2, 3)]
    assert run.state == "finished" and [one.state for one in run.stages] == ["done", "done"]
    headline = run.headline()
    assert headline is not None and headline["checkpoint"] == "rl"
