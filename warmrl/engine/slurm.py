"""The place that srun gave this process among the tasks of its step, in the words of torch's launchers. No torch."""

from __future__ import annotations

import os
import re
from collections.abc import MutableMapping

# Where the processes of a step meet, unless MASTER_PORT says it: one port of these for each step.
PORTS = range(20000, 30000)


def adopt(environment: MutableMapping[str, str] = os.environ) -> None:
    """Set RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE, MASTER_ADDR and MASTER_PORT from srun's variables.

    In a task of a step of several alone. A batch script and the shell of `salloc` know SLURM_NTASKS and SLURM_PROCID
    of the whole job too, but SLURM_STEP_NUM_TASKS is srun's; and `srun --pty bash` is a step of one task. What another
    launcher has set (torchrun, one task a machine) stays.
    """
    tasks = environment.get("SLURM_STEP_NUM_TASKS", "")
    if "RANK" in environment or not tasks.isdigit() or int(tasks) < 2 or "SLURM_PROCID" not in environment:
        return
    of_node = tasks_of_nodes(environment.get("SLURM_STEP_TASKS_PER_NODE", tasks))
    node = int(environment.get("SLURM_NODEID", "0"))
    job, step = (int(environment.get(name, "0")) for name in ("SLURM_JOB_ID", "SLURM_STEP_ID"))
    environment["RANK"] = environment["SLURM_PROCID"]
    environment["WORLD_SIZE"] = tasks
    # With `--gpus-per-task=1` each task sees one GPU, its own, and it is number 0 in all of them.
    one_gpu = re.fullmatch(r"[^,]+", environment.get("CUDA_VISIBLE_DEVICES", ""))
    environment["LOCAL_RANK"] = "0" if one_gpu else environment.get("SLURM_LOCALID", "0")
    environment["LOCAL_WORLD_SIZE"] = str(of_node[node] if node < len(of_node) else 1)
    environment.setdefault("MASTER_ADDR", first_host(environment.get("SLURM_STEP_NODELIST", "127.0.0.1")))
    environment.setdefault("MASTER_PORT", str(PORTS[(job * 31 + step) % len(PORTS)]))


def first_host(hosts: str) -> str:
    """The first name of a list of hosts as Slurm abbreviates it: `gpu[007-009,12],login1` begins with `gpu007`."""
    name = hosts
    while found := re.match(r"([^,\[]*)\[([^\],-]*)[^\]]*\](.*)", name):
        name = "".join(found.groups())
    return name.partition(",")[0]


def tasks_of_nodes(counts: str) -> list[int]:
    """Tasks of each node, out of Slurm's abbreviation: `4(x2),1` is 4, 4, 1."""
    found = re.findall(r"(\d+)(?:\(x(\d+)\))?", counts)
    return [int(count) for count, times in found for _ in range(int(times or 1))]
