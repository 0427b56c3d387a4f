"""Engines in two processes of one run, which share its process group and must leave it whole."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tiny_checkpoints import write_qwen2_5_vl, write_qwen3_vl


def test_engines_in_two_processes(tmp_path: Path) -> None:
    here = Path(__file__).parent
    folders = [str(write_qwen2_5_vl(tmp_path / "first")), str(write_qwen3_vl(tmp_path / "second"))]
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", str(here / "two_ranks.py")]
    paths = [os.environ["PYTHONPATH"], str(here.parent), str(here)]
    done = subprocess.run(
        [sys.executable, *command, *folders],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    gaps = [float(one) for one in re.findall(r"^gap \d \d (\S+)$", done.stdout, re.MULTILINE)]
    assert len(gaps) == 8
    assert max(gaps) <= 1e-5
