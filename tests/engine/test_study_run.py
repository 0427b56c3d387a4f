"""How the cells of a study are run: side by side, failures, signals, the record; with children that only pretend."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from warmrl.cli.report import report
from warmrl.domain.errors import UsageError
from warmrl.engine import study_file
from warmrl.engine.following_study import BETWEEN_CELLS, Study
from warmrl.engine.run_place import LOG, MERGED, STUDY_FILE, claim, damaged_study, known_study
from warmrl.engine.run_process import this_process
from warmrl.engine.study_child import at_work, last_paragraph, only_one, threads
from warmrl.engine.study_file import Cell
from warmrl.engine.study_record import State, StudyRecord
from warmrl.engine.study_run import Listener, StudyRun

RECIPE = Path(__file__).parent / "tiny.toml"
GOOD = "print('all well')"
BAD = r"import sys; print('warming up'); print('warmrl: The disk\nis full.', file=sys.stderr); sys.exit(1)"
PATIENT = (
    "import signal, sys, time; signal.signal(15, lambda *_: sys.exit(143)); print('here', flush=True); time.sleep(60)"
)
STUDY = """
version = 1
name = "small"
extends = "{recipe}"
[study]
seeds = [1, 2]
control = "opd"
in_domain = "validation"
[arm.opd]
[arm.none.stage.warm]
use = "none"
data = "warmup"
"""


def record_in(folder: Path) -> StudyRecord:
    (folder / "study.toml").write_text(STUDY.format(recipe=RECIPE))
    found = study_file.read(folder / "study.toml")
    assert found is not None
    record = StudyRecord(found, folder / "small")
    record.begin(dict.fromkeys(found.cells, "waiting"))
    return record


def python(code: str) -> list[str]:
    return [sys.executable, "-S", "-c", code]


def states(record: StudyRecord) -> dict[str, str]:
    return {one["folder"]: one["state"] for one in known_study(record.folder)["cells"]}


class Heard(Listener):
    """Keeps what happens, and how many cells were at work at once."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []
        self.at_once = self.most = 0

    def started(self, cell: Cell) -> None:
        self.events.append(("started", str(cell.folder)))
        self.at_once += 1
        self.most = max(self.most, self.at_once)

    def ended(self, cell: Cell, state: State, error: str | None) -> None:
        self.events.append((state, str(cell.folder)))
        self.at_once -= 1


@pytest.mark.parametrize("jobs", [1, 3])
def test_cells_run_in_their_order_some_side_by_side(jobs: int, tmp_path: Path) -> None:
    record, heard = record_in(tmp_path), Heard()
    StudyRun(record, lambda _: python("import time; time.sleep(0.2)"), jobs, listener=heard).run(record.study.cells)
    assert [folder for event, folder in heard.events if event == "started"] == [
        "opd/seed-1", "none/seed-1", "opd/seed-2", "none/seed-2",
    ]  # fmt: skip
    assert heard.most == jobs
    assert set(states(record).values()) == {"finished"} and known_study(record.folder)["state"] == "finished"


def test_a_failed_cell_does_not_stop_the_others_and_is_tried_again(tmp_path: Path) -> None:
    record = record_in(tmp_path)
    work = StudyRun(record, lambda cell: python(BAD if cell == Cell(1, "none") else GOOD))
    work.run(record.study.cells)
    assert work.failed == {Cell(1, "none"): "The disk is full."} and len(work.done) == 3
    about = known_study(record.folder)
    (failed,) = (one for one in about["cells"] if one["state"] == "failed")
    assert about["state"] == "failed" and (failed["folder"], failed["error"]) == ("none/seed-1", "The disk is full.")
    assert (record.folder / "opd" / "seed-1" / LOG).read_text() == "all well\n"

    StudyRun(record, lambda _: python(GOOD)).run([Cell(1, "none")])
    about = known_study(record.folder)
    assert about["state"] == "finished" and all(one["error"] is None for one in about["cells"])
    assert "warming up" in (record.folder / "none" / "seed-1" / LOG).read_text()  # the log goes on


def test_a_cell_that_a_signal_ended_says_which(tmp_path: Path) -> None:
    record = record_in(tmp_path)
    work = StudyRun(record, lambda _: python("import os; print('so far'); os.kill(os.getpid(), 9)"))
    work.run([Cell(1, "opd")])
    assert work.failed[Cell(1, "opd")] == "It was ended by SIGKILL. so far"


def test_a_signal_is_passed_on_and_the_rest_waits(tmp_path: Path) -> None:
    record = record_in(tmp_path)
    logs = [record.folder / "opd" / "seed-1" / LOG, record.folder / "none" / "seed-1" / LOG]

    def stopping() -> int:
        return 15 if all(log.exists() and log.read_text() for log in logs) else 0

    heard = Heard()
    work = StudyRun(record, lambda _: python(PATIENT), 2, stopping=stopping, listener=heard)
    work.run(record.study.cells)
    assert sum(event == "started" for event, _ in heard.events) == 2
    assert not work.failed and set(states(record).values()) == {"waiting"}
    assert work.stopped == dict.fromkeys(record.study.cells[:2], "here")


def test_an_error_here_asks_each_cell_once_to_stop_and_waits_for_it(tmp_path: Path) -> None:
    """One that is told twice would end before it could write what it has."""
    record = record_in(tmp_path)
    patient = (
        "import signal, sys, time; told = []\n"
        "signal.signal(15, lambda *_: told.append(1)); print('here', flush=True)\n"
        "while not told: time.sleep(0.01)\n"
        "time.sleep(0.3); print(f'told {len(told)}', flush=True)"
    )
    log = record.folder / "opd" / "seed-1" / LOG

    class Failing(Listener):
        def look(self) -> None:
            if log.exists() and log.read_text():
                raise OSError("The disk is full.")

    with pytest.raises(OSError, match="disk is full"):
        StudyRun(record, lambda _: python(patient), listener=Failing()).run(record.study.cells)
    assert log.read_text() == "here\ntold 1\n"


PARENT = """
import sys
from pathlib import Path
from warmrl.engine import study_file
from warmrl.engine.study_record import StudyRecord
from warmrl.engine.study_run import StudyRun
study = study_file.read(Path(sys.argv[1]))
child = ("import os, sys, time; from warmrl.engine import launch; launch.end_with_parent(); "
         "print(os.getpid()); time.sleep(60)")
StudyRun(StudyRecord(study, Path(sys.argv[2])), lambda _: [sys.executable, "-c", child], 2).run(study.cells)
"""


def test_no_cell_goes_on_without_its_study(tmp_path: Path) -> None:
    record = record_in(tmp_path)
    logs = [record.folder / arm / "seed-1" / LOG for arm in ("opd", "none")]
    path = os.pathsep.join(one for one in sys.path if one)
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, tmp_path / "study.toml", record.folder], env=os.environ | {"PYTHONPATH": path}
    )
    try:
        wait(lambda: all(log.exists() and log.read_text().strip() for log in logs))
    finally:
        parent.kill()
        parent.wait()
    children = [int(log.read_text()) for log in logs]
    wait(lambda: all(map(ended, children)))


def ended(pid: int) -> bool:
    """Whether a process is gone, or only waits for somebody to ask how it ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def wait(done: Callable[[], bool], seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < until, "it did not come"
        time.sleep(0.02)


def test_two_processes_at_one_study_keep_one_another_s_cells(tmp_path: Path) -> None:
    """Each read what was there and wrote its own; a reader never finds half a file."""
    record = record_in(tmp_path)
    code = PARENT.partition("child =")[0] + (
        "record = StudyRecord(study, Path(sys.argv[2]))\n"
        "for _ in range(10):\n"
        "    for one in [cell for cell in study.cells if cell.arm == sys.argv[3]]: record.update({one: 'running'})\n"
        "for one in [cell for cell in study.cells if cell.arm == sys.argv[3]]: record.update({one: 'finished'})\n"
    )
    path = os.pathsep.join(one for one in sys.path if one)
    both = [
        subprocess.Popen(
            [sys.executable, "-c", code, tmp_path / "study.toml", record.folder, arm],
            env=os.environ | {"PYTHONPATH": path},
        )
        for arm in record.study.arms
    ]
    while any(one.poll() is None for one in both):
        assert len(json.loads((record.folder / "study.json").read_text())["cells"]) == 4
        time.sleep(0.01)
    assert [one.returncode for one in both] == [0, 0]
    assert set(states(record).values()) == {"finished"}


def changed(record: StudyRecord, *sets: str) -> StudyRecord:
    """The same study by another recipe."""
    other = study_file.read(record.study.path, sets or ["stage.rl.steps=7"])
    assert other is not None
    return StudyRecord(other, record.folder)


def test_a_damaged_index_is_made_again_from_the_cells_folders(tmp_path: Path) -> None:
    record = record_in(tmp_path)
    run = record.folder / "opd" / "seed-1"
    run.mkdir(parents=True)
    (run / "run.json").write_text('{"name": "small-opd-1", "state": "finished"}')
    for text in ('{"name": "small", "cel', '{"name": "small", "cells": [{}]}', "[]"):
        (record.folder / STUDY_FILE).write_text(text)
        assert damaged_study(record.folder)
        with pytest.raises(UsageError, match=r"study\.json is damaged"):
            report(record.folder)
        claim(record.folder, "small", study=True)
        with pytest.raises(UsageError, match="holds the study `small`, and this is `large`"):
            claim(record.folder, "large", study=True)
        record.update({})
        assert states(record)["opd/seed-1"] == "finished" and states(record)["opd/seed-2"] == "waiting"


def test_a_recipe_is_not_replaced_while_another_process_is_at_a_cell(tmp_path: Path) -> None:
    record = record_in(tmp_path)
    before = (record.folder / MERGED).read_bytes()
    with only_one(record.folder / "none" / "seed-2", lambda: 0):
        record.begin({})  # the same recipe
        with pytest.raises(UsageError, match=r"Another process runs the study .*none/seed-2"):
            changed(record).begin({})
        with pytest.raises(UsageError, match=r"Another process runs the study .*none/seed-2"):
            changed(record, "arm.none=false", "arm.sft.stage.warm.steps=1").begin({})  # that has no such cell
    assert (record.folder / MERGED).read_bytes() == before
    changed(record).begin({})
    assert (record.folder / MERGED).read_bytes() != before


def test_nor_while_a_process_on_another_machine_may_be_at_it(tmp_path: Path) -> None:
    record = record_in(tmp_path)
    elsewhere = StudyRecord(record.study, record.folder)
    elsewhere.process = this_process() | {"host": "another"}
    elsewhere.begin({})
    with pytest.raises(UsageError, match=r"Another process runs the study .*on another"):
        changed(record).begin({})
    long_ago = time.time() - 10 * BETWEEN_CELLS
    os.utime(record.folder / STUDY_FILE, (long_ago, long_ago))
    changed(record).begin({})


def test_what_was_said_of_a_cell_meanwhile_is_kept(tmp_path: Path) -> None:
    """One process looks at all cells, which takes a while; another's fails before the first writes what it saw."""
    record, other = Cell(1, "opd"), Cell(2, "none")
    here = record_in(tmp_path)
    here.update({other: "running"})
    seen = here.told()
    here.update({other: "failed"}, "boom")
    here.begin({record: "waiting"}, {other: "running", Cell(1, "none"): "finished"}, seen)
    assert here.told() == {record: "waiting", Cell(1, "none"): "finished", Cell(2, "opd"): "waiting", other: "failed"}


def test_a_study_that_nobody_is_at_is_stopped(tmp_path: Path) -> None:
    record, seen = record_in(tmp_path), Study(tmp_path / "small")
    record.update({Cell(1, "opd"): "finished"})
    record.end()
    seen.poll()
    assert seen.state == "stopped" and seen.count("waiting") == 3
    record.begin({Cell(2, "opd"): "waiting"})
    assert known_study(record.folder)["state"] == "running"


def test_who_looks_on_sees_that_a_study_was_killed(tmp_path: Path) -> None:
    """Its file says which process is at it; one that ends while another is at a cell leaves it to that one."""
    record = record_in(tmp_path)
    seen = Study(record.folder)
    seen.poll()
    assert seen.state == "running"
    gone = subprocess.Popen(["true"])
    gone.wait()
    killed = StudyRecord(record.study, record.folder)
    killed.process = this_process() | {"pid": gone.pid}
    killed.begin({Cell(1, "opd"): "running"})
    seen.poll()
    assert seen.state == "died"
    killed.end()
    assert "process" not in known_study(record.folder)


def test_one_process_at_a_cell(tmp_path: Path) -> None:
    assert not at_work(tmp_path / "cell")
    with only_one(tmp_path / "cell", lambda: 0):
        assert at_work(tmp_path / "cell")
    assert not at_work(tmp_path / "cell")


def test_the_last_paragraph_of_a_log() -> None:
    said = "[ 1.0 s] Stage `warm`.\nwarmrl: Writing x\nfailed: the disk is full.\n"
    assert last_paragraph(said) == "Writing x failed: the disk is full."
    assert last_paragraph("".join(f"line {i}\n\n" for i in range(9))) == "line 4 line 5 line 6 line 7 line 8"
    assert last_paragraph("") == ""


def test_cells_side_by_side_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)), raising=False)
    assert threads(1, 1) == {}
    assert [threads(*one)["OMP_NUM_THREADS"] for one in [(2, 1), (3, 1), (4, 2), (32, 1)]] == ["8", "5", "2", "1"]
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert threads(4, 1) == {}


def test_a_study_and_a_run_do_not_take_each_other_s_folders(tmp_path: Path) -> None:
    record = record_in(tmp_path)
    claim(record.folder, "small", study=True)
    with pytest.raises(UsageError, match="holds the study `small`, and this is `large`"):
        claim(record.folder, "large", study=True)
    with pytest.raises(UsageError, match="holds a study, `small`, and this is a run"):
        claim(record.folder, "small")
    (run := tmp_path / "run").mkdir()
    (run / "run.json").write_text('{"name": "small"}')
    with pytest.raises(UsageError, match="holds a run of the recipe `small`, and this is a study"):
        claim(run, "small", study=True)
