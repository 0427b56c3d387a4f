"""`warmrl watch` shows what there is in the room there is, escapes what a model wrote, and leaves when told to."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import time
from pathlib import Path

import pytest
import run_folders as made
from rich.console import Console
from typer.testing import CliRunner

from warmrl.cli.chart import BRAILLE, chart
from warmrl.cli.main import app
from warmrl.cli.watch import Told
from warmrl.cli.watch_view import view
from warmrl.domain.errors import UsageError
from warmrl.engine.following import Run
from warmrl.engine.known_runs import opened

NASTY = "\x1b[31mred\x1b[2J [bold]bold[/bold] \u202eturned\u2028 end\x07"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WARMRL_HOME", str(tmp_path))
    return tmp_path


def warmrl(*arguments: str, width: int = 80, height: int = 24) -> str:
    """What a command prints. Raises what it was refused with."""
    found = CliRunner().invoke(app, arguments, env={"COLUMNS": str(width), "LINES": str(height)})
    if found.exception and not isinstance(found.exception, SystemExit):
        raise found.exception
    return found.output


def drawn(found: object, width: int, height: int) -> list[str]:
    """The lines of a view."""
    console = Console(width=width, height=height, color_system=None)
    with console.capture() as caught:
        console.print(view(found, width, height))  # type: ignore[arg-type]
    return caught.get().splitlines()


def test_a_chart_shows_where_a_curve_goes() -> None:
    lines = [line.plain for line in chart({"cyan": [(1, 0.0), (50, 1.0)]}, 28, 4, last=100)]
    assert [len(line) for line in lines] == [28] * 4 and lines[0].lstrip().startswith("1 ")
    dots = [[at for at, sign in enumerate(line) if ord(sign) > BRAILLE] for line in lines]
    assert min(dots[3]) < min(dots[2]) < min(dots[1]) < min(dots[0]), "it rises"
    assert max(dots[0]) < 20, "and ends at half of the steps"
    for curve in ([], [(1, 5.0)], [(n, 5.0) for n in range(1, 9)]):
        assert len(chart({"red": curve}, 20, 3)) == 3


@pytest.mark.parametrize(("width", "height"), [(80, 24), (140, 45), (40, 12), (20, 5), (8, 2)])
def test_a_view_fits_and_escapes(width: int, height: int, home: Path) -> None:
    folder = made.at_work(home, name="odd\x1b[31m")
    texts = [("good", 1.0, "stop"), (NASTY * 20, 0.0, "stop"), ("和" * 200, 0.5, "length")]
    made.one_step(home / "store/rl-key", 5, texts)
    lines = drawn(opened(folder, "run"), width, height)
    assert len(lines) <= height and "rl" in "".join(lines)
    assert not any(sign in line for line in lines for sign in "\x1b\x07\u202e\u2028")
    if height >= 24:
        text = "\n".join(lines)
        assert "5/40" in text and "reward 0.5" in text and "odd\\x1b[31m" in text
        assert "\\x1b[31mred\\x1b[2J [bold]bold[/bold] \\u202eturned\\u2028" in text
        assert all(one in text for one in ("best      1", "worst     0", "truncated 0.5"))


def test_a_study_shows_every_cell(home: Path) -> None:
    cells = [(arm, seed, "waiting") for arm in ("none", "opd") for seed in (1, 2)]
    folder = made.study(home, [("none", 1, "finished"), ("opd", 1, "running"), *cells[1:2], *cells[3:]])
    made.at_work(home, "many/opd/seed-1", "opd-key")
    made.run(home, "many/none/seed-1", {"rl": "none-key"})
    endpoint = {"checkpoint": "rl", "suite": "validation", "metric": "accuracy", "value": 0.625}
    made.write(folder / "none/seed-1/report.json", {"endpoints": [endpoint]})
    text = "\n".join(drawn(opened(folder, "study"), 100, 30))
    assert "seed 1" in text and "seed 2" in text and "✓ 0.625" in text and "accuracy" in text and "■ rl 4/40" in text
    assert "4 cells: 1 finished, 1 running, 2 waiting" in text and "reward 0.4" in text


def test_plain_lines_come_once_each_and_end_with_how_it_ended(home: Path) -> None:
    run, told = Run(made.at_work(home, steps=0)), Told()
    lines = []
    for step in range(1, 41):
        made.one_step(home / "store/rl-key", step)
        run.poll()
        lines += told.lines(run)
    steps = [line for line in lines if line.startswith("rl ")]
    assert len(steps) == 10 and steps[0].startswith("rl 1/40  reward 0.100") and len(lines) == len(set(lines))
    made.entry(home, "done-key")
    made.run(home, "one", {"rl": "done-key"})
    run.poll()
    *_, last = told.lines(run)
    assert last.startswith("The run `one` has finished") and not list(told.lines(run))


def test_without_a_target_what_runs_is_shown_first(home: Path) -> None:
    with pytest.raises(UsageError, match="holds no run"):
        warmrl("watch", "--once")
    made.run(home, "old", {})
    assert "this is the newest that ran" in warmrl("watch", "--once")
    made.at_work(home, "new")
    made.run(home, "newest", {})
    (home / "broken").mkdir()
    (home / "broken" / "run.json").write_text("{")
    found = json.loads(warmrl("watch", "--json"))
    assert (found["kind"], found["name"], found["state"], found["stage"]) == ("run", "new", "running", "rl")
    assert found["row"]["step"] == 4 and found["seconds_left_of_stage"] == 72.0
    assert json.loads(warmrl("watch", "old", "--json"))["state"] == "finished"
    with pytest.raises(UsageError, match="cannot be read"):
        warmrl("watch", str(home / "broken"), "--once")
    with pytest.raises(UsageError, match="is no run or study"):
        warmrl("watch", "nowhere")


@pytest.mark.parametrize("key", [b"q", b"\x03"])
def test_a_key_ends_it_and_nothing_was_written(key: bytes, home: Path) -> None:
    made.at_work(home)
    before = {file: file.stat().st_mtime_ns for file in home.rglob("*")}
    ours, theirs = pty.openpty()
    environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"}
    command = [sys.executable, "-m", "warmrl", "watch"]
    process = subprocess.Popen(
        ["setsid", "--ctty", "--wait", *command], stdin=theirs, stdout=theirs, stderr=theirs, env=environment
    )
    os.close(theirs)
    seen, until = b"", time.monotonic() + 60
    while b"Rollouts" not in seen and b"4/40" not in seen and time.monotonic() < until:
        seen += os.read(ours, 4096)
    os.write(ours, key)
    while True:  # until the other end is closed
        try:
            seen += os.read(ours, 4096)
        except OSError:
            break
    assert process.wait(60) == 0 and b"Traceback" not in seen
    assert b"\x1b[?1049l" in seen, "the terminal is as it was"
    assert {file: file.stat().st_mtime_ns for file in home.rglob("*")} == before
