"""SFT of the packed path against TRL's `SFTTrainer`, with TRL's own vision collator: tokens, loss, every gradient."""

import pytest
from parity.subjects import (
    TOLERANCE,
    UNCLIPPED,
    agree,
    load_policy,
    problems,
    stage_for,
    update_of,
    weighed,
    write_checkpoint,
)
from parity.trl_oracle import sft_trainer
from parity.trl_oracle import update_of as trl_update
from warmrl_sft.config import SFTConfig
from warmrl_sft.method import SFT

from warmrl.domain.group import Completion, Group
from warmrl.domain.problem import Text
from warmrl.engine.processes import Processes

# Images of each problem; the worked answers are of uneven lengths.
IMAGES = (1, 1, 0, 2, 1)


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A checkpoint, and a problem's prompt and worked answer as both sides are given them."""
    folder = write_checkpoint(tmp_path_factory.mktemp("sft"), seed=1)
    return folder, problems(IMAGES)


def example(problem):
    """A problem as a row of TRL's prompt-completion format; TRL puts the images before the text, as the pocket does."""
    (question,) = (part.text for part in problem.messages[0].parts if isinstance(part, Text))
    return {
        "prompt": [{"role": "user", "content": question}],
        "completion": [{"role": "assistant", "content": problem.solution}],
        "images": [image.load() for image in problem.images],
    }


def given(policy, problem):
    """The same row as a group."""
    tokens = policy.encode_answer(problem.solution)
    return Group(problem, [Completion(tokens, problem.solution, origin="dataset", finish="given")])


def ours(work, how="token", **config):
    folder, rows = work
    policy = load_policy(folder)
    stage = stage_for(policy, SFTConfig(max_grad_norm=UNCLIPPED, **config), folder, Processes())
    return update_of(stage, SFT(stage.config, stage), weighed([given(policy, row) for row in rows], how))


@pytest.fixture(scope="module")
def theirs(work):
    return trained(work)


def trained(work, **config):
    """TRL's batch and update."""
    folder, rows = work
    trainer = sft_trainer(folder, [example(row) for row in rows], **config)
    batch = trainer.data_collator([example(row) for row in rows])
    return batch, trl_update(trainer, batch)


def test_tokens_are_the_same(work, theirs):
    folder, rows = work
    policy, (batch, _) = load_policy(folder), theirs
    for row, ids, mask, labels in zip(rows, batch["input_ids"], batch["attention_mask"], batch["labels"], strict=True):
        answer = list(policy.encode_answer(row.solution))
        assert ids[mask.bool()].tolist() == [*policy.encode_prompt(row.messages).ids.tolist(), *answer]
        assert labels[labels >= 0].tolist() == answer


@pytest.mark.parametrize("budget", [16384, 60], ids=["one row", "several rows"])
def test_loss_and_gradients(work, theirs, budget):
    agree(ours(work, token_budget=budget), theirs[1])


def test_weighed_by_probability(work, theirs):
    found = ours(work, weighting="dft")
    agree(found, trained(work, loss_type="dft")[1])
    assert max(found.gaps(theirs[1])) > 100 * TOLERANCE


def test_a_mutant_is_seen(work, theirs):
    """Weights of a mean over sequences instead of tokens."""
    assert max(ours(work, "sequence").gaps(theirs[1])) > 100 * TOLERANCE
