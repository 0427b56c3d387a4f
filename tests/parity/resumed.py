"""A stage's newest checkpoint taken back and published again, by as many processes as a launcher makes.

`python resumed.py FOLDER`: the checkpoint in the stage's FOLDER is replaced by what was read.
"""

from __future__ import annotations

import sys
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


def again(folder: Path) -> None:
    """Take the checkpoint of a stage that trains the language part of `pocket:random`, and publish it again."""
    processes = Processes(launch=LaunchTable(sharding="fsdp2"))
    policy = Policy.load(find("pocket:random", None, Registry.installed()))
    freeze_but(policy, ["language"])
    config = SFTConfig(train=["language"])
    stage = stage_for(policy, config, folder, processes)
    processes.prepare(policy.packed)
    optimizer = adamw(stage, config)
    publish(stage, resume(stage, optimizer, None), optimizer, None)


if __name__ == "__main__":
    again(Path(sys.argv[1]))
