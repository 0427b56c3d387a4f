"""A stage's newest checkpoint taken back and published again, by any number of processes."""

from __future__ import annotations

from pathlib import Path

from parity.subjects import stage_for
from warmrl_sft.config import SFTConfig

from warmrl.domain.recipe import LaunchTable
from warmrl.engine.checkpointing import publish, resume
from warmrl.engine.checkpoints import find
from warmrl.engine.policy import Policy
from warmrl.engine.processes import Processes
from warmrl.engine.trainable import freeze_but
from warmrl.engine.training import adamw
from warmrl.plugin.registry import Registry


def again(folder: str) -> None:
    """Replace the checkpoint of a stage that trains the language part of `pocket:random` by what is read of it."""
    processes = Processes(launch=LaunchTable(sharding="fsdp2"))
    policy = Policy.load(find("pocket:random", None, Registry.installed()))
    freeze_but(policy, ["language"])
    config = SFTConfig(train=["language"])
    stage = stage_for(policy, config, Path(folder), processes)
    processes.prepare(policy.packed)
    optimizer = adamw(stage, config)
    publish(stage, resume(stage, optimizer, None), optimizer, None)
