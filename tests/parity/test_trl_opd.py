"""OPD of the packed path against TRL's `DistillationTrainer`: the exact divergences' loss and every gradient.

Both sides run their own teacher forward: here the teacher plugin `local`, there the trainer's.
"""

import pytest
from parity.subjects import (
    TOLERANCE,
    UNCLIPPED,
    agree,
    canned_groups,
    load_policy,
    stage_for,
    update_of,
    weighed,
    write_checkpoint,
)
from parity.trl_oracle import batch_of, distillation_trainer
from parity.trl_oracle import update_of as trl_update
from warmrl_opd.config import OPDConfig
from warmrl_opd.method import OPD

from warmrl.engine.processes import Processes
from warmrl.plugin.registry import Registry

# `divergence` here and TRL's beta; `jsd` takes the same beta on both sides.
BETAS = {"reverse": 1.0, "forward": 0.0, "jsd": 0.3}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A student and a wider teacher."""
    home = tmp_path_factory.mktemp("opd")
    return write_checkpoint(home / "student", seed=1), write_checkpoint(home / "teacher", 3, "random-teacher")


def ours(folders, divergence, how="token", budget=16384):
    policy = load_policy(folders[0])
    table = {"divergence": divergence, "beta": BETAS["jsd"], "max_grad_norm": UNCLIPPED, "token_budget": budget}
    table["teacher"] = {"use": "local", "path": str(folders[1])}
    config = OPDConfig.model_validate(table, context={"registry": Registry.installed()})
    stage = stage_for(policy, config, folders[0], Processes())
    method = OPD(config, stage)
    method.prepare()
    groups = weighed(canned_groups(policy), how)
    method.teacher.score(groups, "full")
    return update_of(stage, method, groups)


@pytest.fixture(scope="module", params=BETAS)
def theirs(folders, request):
    batch = batch_of(load_policy(folders[0]), canned_groups(load_policy(folders[0])))
    trainer = distillation_trainer(*folders, len(batch["prompt_ids"]), BETAS[request.param])
    return request.param, trl_update(trainer, batch)


@pytest.mark.parametrize("budget", [16384, 60], ids=["one row", "several rows"])
def test_loss_and_gradients(folders, theirs, budget):
    agree(ours(folders, theirs[0], budget=budget), theirs[1])


def test_mutants_are_seen(folders, theirs):
    """The other direction, and weights of a mean over sequences instead of tokens."""
    other = "forward" if theirs[0] == "reverse" else "reverse"
    assert max(ours(folders, other).gaps(theirs[1])) > 100 * TOLERANCE
    assert max(ours(folders, theirs[0], "sequence").gaps(theirs[1])) > 100 * TOLERANCE
