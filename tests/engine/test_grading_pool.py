"""The pool of grading processes: values, deadlines, memory, death, threads, scripts."""

import multiprocessing
import operator
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from warmrl_rewards.equivalence import equal

from warmrl.api import PluginError, WarmrlError
from warmrl.engine.api import GradingPool, Outcome

SAME = ("x+1", "1+x")
HANGS = ("42", "9^{9^{9}}")
YES = Outcome(True)


@pytest.fixture(scope="module")
def pool():
    pool = GradingPool(equal, deadline=1.0, memory=1.0, workers=2, warm_up=[SAME])
    pool.start()
    yield pool
    pool.close()


def test_values_in_order(pool):
    assert pool.map([]) == []
    assert pool.map([SAME, ("x+1", "x"), SAME, SAME]) == [YES, Outcome(False), YES, YES]


def test_a_hang_is_killed_and_others_are_not(pool):
    before, start = pool.timeouts, time.monotonic()
    assert pool.map([SAME, HANGS, ("x+1", "x"), SAME]) == [YES, Outcome(None, "timed out"), Outcome(False), YES]
    assert 1.0 <= time.monotonic() - start < 30
    assert pool.timeouts == before + 1
    assert pool.map([SAME]) == [YES]


def test_what_the_function_raises_is_an_outcome(pool):
    assert pool.map([("only one",), SAME]) == [Outcome(None, "raised"), YES]


def test_memory_is_limited():
    pool = GradingPool(operator.mul, deadline=20.0, memory=0.5, workers=1)
    assert pool.map([("a", 2**33), ("a", 2)]) == [Outcome(None, "crashed"), Outcome("aa")]
    assert pool.crashes == 1
    pool.close()


def test_a_dead_process_is_replaced(pool):
    pool.start()
    for worker in pool.workers:
        worker.process.kill()
        worker.process.wait()
    assert all(one in (YES, Outcome(None, "crashed")) for one in pool.map([SAME] * 2))
    assert pool.map([SAME] * 2) == [YES] * 2
    assert len(pool.workers) == 2


def test_threads_share_the_processes(pool):
    found = []
    threads = [threading.Thread(target=lambda: found.append(pool.map([SAME, ("x", "y")]))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == [[YES, Outcome(False)]] * 8
    assert len(pool.workers) == 2


def test_after_an_interrupt_no_answer_is_taken_for_another(pool, monkeypatch):
    def interrupted(busy):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("warmrl.engine.grading_pool.ready", interrupted)
        with pytest.raises(KeyboardInterrupt):
            pool.map([("x", "y")])
    assert pool.map([SAME, SAME]) == [YES, YES]


def test_a_long_argument_is_no_deadlock(pool):
    assert pool.map([("1", "1" + " " * 2_000_000), SAME])[1] == YES


def test_it_closes_twice_and_starts_again():
    pool = GradingPool(operator.add, deadline=5.0, workers=1)
    assert pool.workers == []
    assert pool.map([(1, 2)]) == [Outcome(3)]
    pool.close()
    pool.close()
    assert pool.workers == []
    assert pool.map([(1, 2)]) == [Outcome(3)]
    pool.close()


def grade_in_fork(pool, results):
    results.put(pool.map([SAME]) == [YES])
    pool.close()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_fork_has_processes_of_its_own(pool):
    pool.start()
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    fork = context.Process(target=grade_in_fork, args=(pool, results))
    fork.start()
    assert results.get(timeout=60) is True
    fork.join(60)
    assert pool.map([SAME] * 2) == [YES] * 2


@pytest.mark.parametrize("function", [lambda: True, Path.exists])
def test_only_a_function_of_a_module(function):
    with pytest.raises(PluginError, match="function of a module"):
        GradingPool(function)


def test_what_cannot_be_imported_is_said(monkeypatch, tmp_path):
    (tmp_path / "math_verify.py").write_text("raise ImportError('no math_verify here')")
    monkeypatch.syspath_prepend(str(tmp_path))
    pool = GradingPool(equal, workers=1, warm_up=[SAME], advice="Install it.")
    with pytest.raises(WarmrlError, match=r"no math_verify here.*Install it\."):
        pool.map([SAME])
    assert pool.workers == []


def run_script(tmp_path, body):
    """Run a script with no `if __name__` guard, as a notebook or a careless user would."""
    script = tmp_path / "script.py"
    script.write_text(
        "import operator, os, threading, time\nfrom warmrl.engine.api import GradingPool\n" + body
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    return subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, timeout=120)


def test_it_never_keeps_the_interpreter_from_exiting(tmp_path):
    body = (
        "pool = GradingPool(operator.eq, deadline=30.0, workers=1)\n"
        "print(pool.map([(1, 1)])[0].value, pool.workers[0].process.pid)"
    )
    done = run_script(tmp_path, body)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("True ")
    assert not alive(int(done.stdout.split()[-1]))


def test_no_process_outlives_a_killed_run(tmp_path):
    body = (
        "pool = GradingPool(time.sleep, deadline=1.0, workers=1)\n"
        "pool.start()\n"
        "print(pool.workers[0].process.pid, flush=True)\n"
        "threading.Timer(0.2, lambda: os.kill(os.getpid(), 9)).start()\n"
        "pool.map([(1000,)])\n"
    )
    done = run_script(tmp_path, body)
    assert done.returncode == -9
    until = time.monotonic() + 10
    while alive(int(done.stdout)) and time.monotonic() < until:
        time.sleep(0.05)
    assert not alive(int(done.stdout))


def alive(pid):
    """Whether a process runs (one that has ended and waits to be collected doesn't)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
