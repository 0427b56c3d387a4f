"""Engines in two processes of one run, which share its process group and must leave it whole."""

import re
from pathlib import Path

from ranks import ranks
from real_vllm import two_ranks
from tiny_checkpoints import write_qwen2_5_vl, write_qwen3_vl


def test_engines_in_two_processes(tmp_path: Path) -> None:
    folders = [str(write_qwen2_5_vl(tmp_path / "first")), str(write_qwen3_vl(tmp_path / "second"))]
    gaps = []
    for done in ranks(2, *folders, folder=tmp_path, function=two_ranks.main, seconds=400):
        done.assert_success()
        gaps += [float(one) for one in re.findall(r"^gap \d \d (\S+)$", done.out, re.MULTILINE)]
    assert len(gaps) == 8
    assert max(gaps) <= 1e-5
