"""Whole runs with a real vLLM: in the process, and by a server that is killed twice. The samples are the same."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tiny_checkpoints import write_qwen2_5_vl
from tiny_runs import Home

from warmrl.api import Completion, Group, Message, Problem, Text
from warmrl.engine.checkpoints import folder_source
from warmrl.engine.export import export_policy
from warmrl.engine.passes import score_tokens
from warmrl.engine.policy import Policy
from warmrl.engine.processes import Processes
from warmrl.plugin.local import trust
from warmrl.testing.command import Command
from warmrl.testing.run import environment

RECIPE = Path(__file__).parent / "tiny.toml"
START = 300  # seconds; a start takes about 20, of which vLLM's import is most


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """Settings that name the policy and its teacher."""
    folder = tmp_path_factory.mktemp("models")
    os.environ["WARMRL_CONFIG"] = str(folder / "config")
    trust(RECIPE.parent / "letters.py")
    policy, teacher = (write_qwen2_5_vl(folder / f"seed-{seed}", seed) for seed in range(2))
    yield [f"model.path={policy}", f"stage.warm.teacher.path={teacher}"]
    del os.environ["WARMRL_CONFIG"]


@pytest.fixture(scope="module")
def port() -> int:
    """A free port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextmanager
def serving(port: int, folder: Path) -> Iterator[Command]:
    """`warmrl vllm-serve`, ready."""
    options = ["--port", str(port), "--memory", "0.05", "--max-model-len", "512", "--eager"]
    process = Command("vllm-serve", *options, folder=folder, environment=environment(folder))
    try:
        said, until = Path(process.said.name) / "out", time.monotonic() + START
        while not (said.exists() and "vLLM server at" in said.read_text()) and time.monotonic() < until:
            assert process.poll() is None, process.communicate()
            time.sleep(0.1)
        yield process
    finally:
        process.kill()
        process.communicate()


def start(home: Path, sets: list[str]) -> Command:
    """The run's command."""
    chosen = [part for one in sets for part in ("--set", one)]
    own = environment(home) | {"WARMRL_HOME": str(home)}
    command = ("run", str(RECIPE), "--out", str(home / "run"), "--json", *chosen)
    return Command(*command, folder=home, environment=own)


def ledger(home: Path) -> dict[str, list[str]]:
    """What each stage and evaluation sampled: problems and a hash of each completion's tokens, in order."""
    run = home / "run"
    return {str(file.relative_to(run)): file.read_text().splitlines() for file in sorted(run.rglob("ledger.jsonl"))}


@pytest.fixture(scope="module")
def whole(models: list[str], tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A run in one process."""
    home = Home(tmp_path_factory.mktemp("whole"), RECIPE)
    home.run(models)
    rows = [json.loads(line) for line in (home.path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert min(row["grad_norm"] for row in rows) > 0, "every step must change the weights"
    assert sum(len(lines) for lines in ledger(home.path).values()) >= 40
    return home


def test_an_exported_policy_loads(whole: Home, tmp_path: Path) -> None:
    """As any checkpoint does, with nothing of ours in between: what it says of a prompt is what the policy says."""
    from vllm import LLM, SamplingParams

    folder = export_policy(f"{whole.path / 'run'}#rl", tmp_path / "out", merge=True, dtype=None).folder
    llm = LLM(str(folder), dtype="float32", enforce_eager=True, gpu_memory_utilization=0.05, max_model_len=512)
    try:
        policy = Policy.load(folder_source(folder))
        view = (Message("user", (Text("Find x."),)),)
        prompt = {"prompt_token_ids": policy.encode_prompt(view).ids.tolist()}
        (output,) = llm.generate([prompt], SamplingParams(temperature=0.0, max_tokens=8, logprobs=0))
        (one,) = output.outputs
        theirs = [place[token].logprob for token, place in zip(one.token_ids, one.logprobs, strict=True)]
        group = Group(Problem("any", view, ""), [Completion(tuple(one.token_ids), "")])
        score_tokens(policy, [group], Processes(), 4096, "ours")
        assert group.completions[0].signals["ours"].tolist() == pytest.approx(theirs, abs=1e-5)
    finally:
        llm.llm_engine.engine_core.shutdown()


def test_by_a_server_that_is_killed_twice(whole: Home, models: list[str], port: int, tmp_path: Path) -> None:
    sets = [*models, f"sampler.urls=['http://127.0.0.1:{port}']", "sampler.deadline=60"]
    for kills in range(3):
        with serving(port, tmp_path) as server:
            process = start(tmp_path, sets)
            if kills < 2:
                wait_for_steps(process, tmp_path, 7 + 20 * kills)
                server.kill()
            out, err = process.communicate(timeout=START)
        if kills < 2:
            assert process.returncode == 1, err
            assert "Traceback" not in err
            assert f"The vLLM server at http://127.0.0.1:{port}" in " ".join(err.split())
            assert "the same command goes on from it" in " ".join(err.split())
            assert Home(tmp_path).checkpoints()
    assert process.returncode == 0, err
    assert json.loads(out.splitlines()[-1])["stages"]["done"]
    assert ledger(tmp_path) == ledger(whole.path)


def wait_for_steps(process: Command, home: Path, count: int) -> None:
    """Until the journals of all stages have so many steps together."""
    until = time.monotonic() + START
    while time.monotonic() < until and process.poll() is None:
        if sum(len(file.read_text().splitlines()) for file in home.glob("store/*/ledger.jsonl")) >= count:
            return
        time.sleep(0.02)
    raise AssertionError(f"no {count} steps: {process.communicate()}")
