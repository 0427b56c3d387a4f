"""Whose ranks a process takes: torchrun's, srun's in a step of several tasks, nobody's in a batch script or a shell."""

import pytest

from warmrl.engine import slurm

# What Slurm sets in the batch script of a job of two machines with two tasks each, and in the shell of `salloc`.
JOB = {
    "SLURM_JOB_ID": "1234567", "SLURM_NTASKS": "4", "SLURM_NNODES": "2", "SLURM_JOB_NODELIST": "gpu[007-008]",
    "SLURM_TASKS_PER_NODE": "2(x2)", "SLURM_LAUNCH_NODE_IPADDR": "10.0.0.1",
}  # fmt: skip
BATCH = {**JOB, "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0", "SLURM_TASK_PID": "99"}
STEP = {
    **JOB, "SLURM_STEP_ID": "3", "SLURM_STEP_NUM_TASKS": "4", "SLURM_STEP_NODELIST": "gpu[007-008]",
    "SLURM_STEP_TASKS_PER_NODE": "2(x2)", "SLURM_PROCID": "3", "SLURM_LOCALID": "1", "SLURM_NODEID": "1",
}  # fmt: skip
RANKS = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def adopted(given):
    found = dict(given)
    slurm.adopt(found)
    assert {name: value for name, value in found.items() if name not in RANKS} == {
        name: value for name, value in given.items() if name not in RANKS
    }
    return tuple(found.get(name) for name in RANKS)


def test_a_task_of_srun():
    assert adopted(STEP) == ("3", "4", "1", "2", "gpu007", str(20000 + (1234567 * 31 + 3) % 10000))
    uneven = {**STEP, "SLURM_STEP_NUM_TASKS": "3", "SLURM_STEP_TASKS_PER_NODE": "2,1", "SLURM_PROCID": "2"}
    assert adopted(uneven)[:4] == ("2", "3", "1", "1")
    assert adopted({**STEP, "CUDA_VISIBLE_DEVICES": "0,1"})[2] == "1"
    assert adopted({**STEP, "CUDA_VISIBLE_DEVICES": "0"})[2] == "0", "a GPU of its own is the task's number 0"


def test_all_tasks_of_a_step_meet_at_one_place_and_steps_at_others():
    places = {adopted({**STEP, "SLURM_PROCID": str(rank)})[4:] for rank in range(4)}
    assert len(places) == 1
    assert adopted({**STEP, "SLURM_STEP_ID": "4"})[4:] not in places


@pytest.mark.parametrize("given", [
    {}, JOB, BATCH,
    {**BATCH, "SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "1"},  # `srun --pty bash`, salloc's interactive step
], ids=["no Slurm", "salloc", "batch script", "a step of one"])  # fmt: skip
def test_a_shell_is_no_task(given):
    assert adopted(given) == (None,) * 6


def test_what_is_set_stays():
    ours = {"RANK": "0", "WORLD_SIZE": "8", "LOCAL_RANK": "0"}  # torchrun, one task of srun on each machine
    assert adopted({**STEP, **ours})[:3] == ("0", "8", "0")
    assert adopted({**STEP, "MASTER_ADDR": "10.1.2.3", "MASTER_PORT": "5000"})[4:] == ("10.1.2.3", "5000")


@pytest.mark.parametrize(("hosts", "first"), [
    ("gpu007", "gpu007"), ("gpu007,gpu009", "gpu007"), ("gpu[007-009,12],login1", "gpu007"), ("n[12]", "n12"),
    ("a[1,3]-b[5-6],c", "a1-b5"), ("r[01-02]n[1-4].cluster", "r01n1.cluster"),
])  # fmt: skip
def test_the_first_host(hosts, first):
    assert slurm.first_host(hosts) == first
