"""A rank of two: an engine beside the run's own process group, and another one after it.

The first one's policy is in shards, out of which it gets its weights; the second one's is whole in both.
"""

from pathlib import Path
from types import SimpleNamespace

import torch
from real_vllm.test_logprobs import CONFIG, disturb, requests
from warmrl_vllm.sampler import VLLM

from warmrl.api import Group, Problem
from warmrl.domain.recipe import LaunchTable
from warmrl.engine.checkpoints import folder_source
from warmrl.engine.passes import score_tokens
from warmrl.engine.policy import Policy
from warmrl.engine.processes import Processes


def main(*folders: str) -> None:
    """Print the gap of each engine after each update."""
    processes = Processes(launch=LaunchTable(processes=2, sharding="fsdp2"))
    alone = SimpleNamespace(world=1, rank=0, accelerator=processes.accelerator, gather=list)
    sampler = VLLM(CONFIG, processes)
    for number, folder in enumerate(folders):  # of two architectures, so the engine is started again
        policy = Policy.load(folder_source(Path(folder)))
        for update in range(2):
            disturb(policy, update)
            if number == update == 0:
                processes.prepare(policy.packed)
            sampler.sync(policy)
            asked = requests()[processes.rank :]  # each process its own
            drawn = sampler.sample(asked)
            groups = [Group(Problem(str(i), one.messages, ""), drawn[i]) for i, one in enumerate(asked)]
            with policy.gathered():
                score_tokens(policy, groups, alone, 4096, "trainer")
            completions = [one for group in groups for one in group.completions]
            gaps = [(torch.tensor(one.logprobs) - one.signals["trainer"]).abs() for one in completions]
            print(f"gap {processes.rank} {update} {float(torch.cat(gaps).mean()):.2e}", flush=True)
            sampler.rest()
    sampler.close()
    processes.wait()
