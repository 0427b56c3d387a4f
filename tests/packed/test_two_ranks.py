"""Two processes give the gradients of one, with rows that have no image and a row that is only a dummy among them."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from encoded_groups import groups_for

from warmrl.packed.plan import plan

SHAPE = ((1, 3), (0, 2), (0, 3))


def test_the_plan_has_what_the_test_is_about():
    rows = [row for rows in plan(groups_for("idefics3", SHAPE), token_budget=40, ranks=2) for row in rows]
    assert [row.is_dummy for row in rows].count(True) == 1
    assert any(row.stand_in for row in rows)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["ddp", "fsdp"])
def test_two_ranks(how):
    script = Path(__file__).with_name("two_ranks.py")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", script, how]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert float(re.search(r"gap=(\S+)", done.stdout)[1]) <= 1e-5
