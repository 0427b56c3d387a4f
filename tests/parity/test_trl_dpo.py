"""DPO of the packed path against TRL's `DPOTrainer`, with its own vision collator: loss, margins, every gradient."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
from parity.subjects import TOLERANCE, UNCLIPPED, agree, load_policy, problems, stage_for, update_of, write_checkpoint
from parity.trl_oracle import dpo_trainer
from parity.trl_oracle import update_of as trl_update
from warmrl_dpo import method as subject
from warmrl_dpo.config import DPOConfig
from warmrl_dpo.method import DPO

from warmrl.domain.problem import Text
from warmrl.engine.processes import Processes

# Images of each pair's prompt; answers are of uneven lengths.
IMAGES = (1, 1, 0, 2, 1)

pytestmark = pytest.mark.slow
# Settings, and TRL's: what the paper trains on, the preference alone, MPO.
CASES = {
    "hybrid": ({"nll_weight": 0.5}, {"loss_type": ["sigmoid", "sft"], "loss_weights": [1.0, 0.5]}),
    "dpo": ({"nll_weight": 0.0}, {"loss_type": ["sigmoid"]}),
    "mpo": (
        {"loss": "mpo", "reward_shift": False},
        {"loss_type": ["sigmoid", "bco_pair", "sft"], "loss_weights": [0.8, 0.2, 1.0]},
    ),
}


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A checkpoint, a reference, and pairs: a worked answer, and some of another problem's."""
    folder, reference = (write_checkpoint(tmp_path_factory.mktemp("dpo"), seed=seed) for seed in (1, 2))
    rows = problems(IMAGES)
    others = [" ".join(row.solution.split()[: 3 + 2 * i]) for i, row in enumerate([*rows[1:], rows[0]])]
    return folder, reference, [replace(row, rejected=other) for row, other in zip(rows, others, strict=True)]


def example(problem):
    """A pair as a row of TRL's preference format; TRL puts the images before the text, as the pocket does."""
    (question,) = (part.text for part in problem.messages[0].parts if isinstance(part, Text))
    return {
        "prompt": [{"role": "user", "content": question}],
        "chosen": [{"role": "assistant", "content": problem.solution}],
        "rejected": [{"role": "assistant", "content": problem.rejected}],
        "images": [image.load() for image in problem.images],
    }


@pytest.fixture(scope="module")
def theirs(work):
    folder, reference, rows = work
    found = {}
    for name, (_, config) in CASES.items():
        trainer = dpo_trainer(folder, reference, [example(row) for row in rows], beta=0.1, **config)
        update = trl_update(trainer, trainer.data_collator([example(row) for row in rows]))
        found[name] = update, {name: mean for name, (mean,) in trainer._metrics["train"].items() if "/" in name}
    return found


def ours(work, folder, *, share=True, **config):
    """The engine's update on all pairs, and what is logged of it."""
    policy, (_, reference, rows) = load_policy(work[0]), work
    config = DPOConfig(max_grad_norm=UNCLIPPED, normalise="token", prompts_per_step=len(rows), **config)
    stage = stage_for(policy, config, folder, Processes(), reference)
    stage.problems, stage.sampling = rows, SimpleNamespace(block_size=2)
    policy.packed.share = share
    method = DPO(config, stage)
    method.load({"shift": 0.0, "rewards_seen": 0})  # no longer its own reference
    method.prepare()
    groups = method.groups(0)
    return update_of(stage, method, groups), method.metrics(groups)


# Pairs in one row, each in its own over the budget, sides in rows of their own.
HOW = {"one row": {}, "over the budget": {"token_budget": 10}, "apart": {"share": False}}


@pytest.mark.parametrize(
    ("case", "how"),
    [("hybrid", "one row"), ("hybrid", "over the budget"), ("hybrid", "apart"), ("dpo", "one row"), ("mpo", "apart")],
)
def test_loss_margins_and_gradients(work, theirs, tmp_path, case, how):
    update, logged = ours(work, tmp_path, **CASES[case][0], **HOW[how])
    expected, means = theirs[case]
    agree(update, expected)
    for name, own in {
        "chosen": "chosen",
        "rejected": "rejected",
        "margins": "margin",
        "accuracies": "accuracy",
    }.items():
        assert logged[f"rewards/{own}"] == pytest.approx(means[f"rewards/{name}"], rel=TOLERANCE)
    for side in ("chosen", "rejected"):
        assert logged[f"logprobs/{side}"] == pytest.approx(means[f"logps/{side}"], rel=TOLERANCE)


def test_a_mutant_is_seen(work, theirs, tmp_path, monkeypatch):
    """A margin of means over nine tokens instead of sums."""
    right = subject.pairs_loss

    def mean(logprob, reference, weight, nll_weight, **more):
        return right(logprob / 9, reference / 9, weight, 9 * nll_weight, **more)

    monkeypatch.setattr(subject, "pairs_loss", mean)
    assert max(ours(work, tmp_path, **CASES["hybrid"][0])[0].gaps(theirs["hybrid"][0])) > 100 * TOLERANCE
