"""Real kills of the real command: kill -9 at random moments, SIGTERM and Ctrl-C; the same command goes on."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tiny_runs import RECIPE, Home

from warmrl.testing.command import Command
from warmrl.testing.run import environment

pytestmark = pytest.mark.slow
# More of them by hand: WARMRL_KILLS=20 pytest tests/cli/test_kill.py -m slow
KILLS = int(os.environ.get("WARMRL_KILLS", "2"))  # two a run


def start(home: Path) -> Command:
    """The command, in a session of its own."""
    own = environment(home) | {"WARMRL_HOME": str(home)}
    return Command("run", str(RECIPE), "--out", str(home / "run"), "--json", folder=home, environment=own)


def start_python(home: Path) -> subprocess.Popen[str]:
    """The same by a person's shell: Python itself is started."""
    return subprocess.Popen(
        [sys.executable, "-m", "warmrl", "run", str(RECIPE), "--out", str(home / "run"), "--json"],
        env=environment(home) | {"WARMRL_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, float]:
    """An uninterrupted run, and how long it took."""
    home = Home(tmp_path_factory.mktemp("reference"))
    Command("--version", folder=home.path, environment=environment(home.path)).communicate()  # later ones start at once
    began = time.monotonic()
    out, err = start(home.path).communicate(timeout=300)
    assert json.loads(out)["stages"]["done"] == ["warm", "rl"], err
    return home, time.monotonic() - began


@pytest.mark.parametrize("number", range(KILLS // 2))
def test_two_kills_9_at_random_moments(number: int, reference: tuple[Home, float], tmp_path: Path) -> None:
    """The second while the run goes on from the first."""
    whole, left = reference
    draw = random.Random(number)
    for _ in range(2):
        process, seconds = start(tmp_path), draw.random() * left
        try:
            process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
        left -= seconds
    _, err = (resumed := start(tmp_path)).communicate(timeout=300)
    assert resumed.returncode == 0, err
    assert Home(tmp_path).digests() == whole.digests()


def test_a_signal_publishes_a_checkpoint(reference: tuple[Home, float], tmp_path: Path) -> None:
    """SIGTERM in the first stage, then Ctrl-C in the one after it."""
    for done, (number, code) in enumerate([(signal.SIGTERM, 143), (signal.SIGINT, 130)]):
        process = start_python(tmp_path)
        until = time.monotonic() + 200
        while not in_stage(tmp_path, done) and process.poll() is None and time.monotonic() < until:
            time.sleep(0.01)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
        assert process.returncode == code, err
        assert "Traceback" not in err and "Stopped by signal" in err
    out, err = start(tmp_path).communicate(timeout=300)
    assert json.loads(out)["stages"]["done"], err
    assert Home(tmp_path).digests() == reference[0].digests()


def in_stage(home: Path, done: int) -> bool:
    """Whether so many stages are done, and the next has published its first checkpoint."""
    return len(list(home.glob("store/*/done.json"))) == done and bool(Home(home).checkpoints())
