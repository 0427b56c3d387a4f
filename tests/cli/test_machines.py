"""Several machines: torchrun's ranks across a network, one store for all, and what is left when a machine is gone."""

import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import ExitStack
from uuid import uuid4

import pytest
from cli import impatient

from warmrl.testing.command import Command
from warmrl.testing.run import environment, start, write_recipe

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

SECONDS = 240


def recipe_in(folder, steps):
    rl = {"use": "opd", "policy": "base", "data": "train", "steps": steps, "prompts_per_step": 4, "max_tokens": 8,
          "teacher": {"use": "local", "path": "pocket:random-teacher"}, "checkpoint_every": 1}  # fmt: skip
    launch = {"sharding": "fsdp2", "timeout": 1}
    recipe = write_recipe(folder, model={"path": "pocket:random"}, stage={"rl": rl}, launch=launch, eval={"at": []})
    return ["run", str(recipe), "--out", str(folder / "out")]


def start_inside(machine, command, folder, **more):
    """Python on one of the machines."""
    return subprocess.Popen(
        [*machine, sys.executable, *command], cwd=folder, env=environment(folder) | more, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def rank(number, port, **more):
    """The environment of a process alone on its machine."""
    own = {"RANK": number, "WORLD_SIZE": 2, "LOCAL_RANK": 0, "LOCAL_WORLD_SIZE": 1, "MASTER_PORT": port}
    return {name: str(value) for name, value in own.items()} | {"MASTER_ADDR": "127.0.0.1", **more}


@pytest.fixture
def machines():
    """Two network namespaces that a cable joins: of each the command to be in it, its address and its interface."""
    if os.name != "posix" or os.geteuid() != 0 or not shutil.which("ip"):
        pytest.skip("making network namespaces needs root and `ip`")
    tag = uuid4().hex[:6]
    names, cables = [f"warmrl-{tag}-{end}" for end in "ab"], [f"w{tag}{end}" for end in "ab"]

    def ip(*arguments):
        done = subprocess.run(["ip", *arguments], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"network namespaces cannot be made here: {done.stderr.strip()}")

    with ExitStack() as stack:
        for name in names:
            ip("netns", "add", name)
            stack.callback(subprocess.run, ["ip", "netns", "del", name], check=True)
        ip("link", "add", cables[0], "netns", names[0], "type", "veth", "peer", "name", cables[1], "netns", names[1])
        for number, (name, cable) in enumerate(zip(names, cables, strict=True)):
            ip("-n", name, "addr", "add", f"10.77.0.{number + 1}/24", "dev", cable)
            for device in ("lo", cable):
                ip("-n", name, "link", "set", device, "up")
        yield [
            (("ip", "netns", "exec", name), f"10.77.0.{number + 1}", cable)
            for number, (name, cable) in enumerate(zip(names, cables, strict=True))
        ]


def test_two_machines(tmp_path, machines):
    """torchrun on each of two machines that only their network and a folder join: one run."""
    command = recipe_in(tmp_path, 2)
    address = machines[0][1]
    with ExitStack() as stack:
        nodes = []
        for number, (inside, _, cable) in enumerate(machines):
            run = ["-m", "torch.distributed.run", "--nnodes", "2", "--nproc_per_node", "1", "--node_rank", str(number),
                   "--master_addr", address, "--master_port", "29555", "-m", "warmrl", *command]  # fmt: skip
            nodes.append(start_inside(inside, run, tmp_path, GLOO_SOCKET_IFNAME=cable, TP_SOCKET_IFNAME=cable))
            stack.callback(nodes[-1].kill)
        said = [node.communicate(timeout=SECONDS) for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], said[0][1][-3000:] + said[1][1][-3000:]
    about = json.loads((tmp_path / "out/environment.json").read_text())
    assert [about[name] for name in ("processes", "machines", "sharding", "devices")] == [2, 2, "fsdp2", ["cpu", "cpu"]]
    ledger = (tmp_path / "out/ledger.jsonl").read_text().splitlines()
    assert [json.loads(row)["step"] for row in ledger] == [1, 2]


def test_a_machine_is_gone(tmp_path):
    """Killed without a word: the other ends soon, and says what happened."""
    command = recipe_in(tmp_path, 2000)
    port = 20000 + os.getpid() % 10000
    with ExitStack() as stack:
        nodes = [start(*command, folder=tmp_path, **rank(number, port)) for number in range(2)]
        for node in nodes:
            stack.callback(node.kill)
        until = time.monotonic() + SECONDS
        while not list(tmp_path.glob("home/store/*/checkpoints/step-000001")) and time.monotonic() < until:
            assert nodes[0].poll() is None, nodes[0].communicate()[1][-3000:]
            time.sleep(0.05)
        nodes[1].kill()
        _, err = nodes[0].communicate(timeout=120)  # `[launch] timeout` is a minute
    assert nodes[0].returncode == 1, err[-3000:]
    assert "Another process of this run is gone" in " ".join(err.split())
    assert "Traceback" not in err


def test_stores_that_are_not_one(tmp_path):
    """Each machine with a store of its own is refused in both, before anything is trained."""
    command, port = recipe_in(tmp_path, 2), 20000 + (os.getpid() + 1) % 10000
    with ExitStack() as stack:
        nodes = []
        for number in range(2):
            own = environment(tmp_path) | rank(number, port, WARMRL_HOME=str(tmp_path / f"home-{number}"))
            nodes.append(Command(*command, folder=tmp_path, environment=own, function=impatient.run))
            stack.callback(nodes[-1].kill)
        said = [node.communicate(timeout=SECONDS)[1] for node in nodes]
    for node, err in zip(nodes, said, strict=True):
        assert node.returncode == 2, err[-3000:]
        assert "is not the same folder for all machines" in " ".join(err.split())
    assert not list(tmp_path.glob("home-*/store/*/checkpoints"))
