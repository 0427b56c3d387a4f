"""What a stage counts: operations beside torch's own count, images once where features are kept, and nothing twice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from parity.subjects import canned_groups, load_policy, stage_for, write_checkpoint
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from warmrl_dpo.config import DPOConfig

from warmrl.domain.group import Completion, Group
from warmrl.engine.forecast.work import (
    Load,
    language_flops,
    language_training_flops,
    tower_attention,
    vision_flops,
)
from warmrl.engine.passes import bare, hidden_states, score_tokens
from warmrl.engine.policy import Policy
from warmrl.engine.processes import Processes
from warmrl.engine.trainable import freeze_but
from warmrl.engine.work import PHASES, Counter, Tally, Tokens, Work
from warmrl.packed.head import TokenLoss
from warmrl.packed.plan import Row, plan

SHAPE = ((1, (60, 20, 33)), (1, (40,)), (0, (25, 3)))
IMAGE = 16
"""Tokens of a figure."""
ZERO = dict.fromkeys(PHASES, 0)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("model"), 1)


@pytest.fixture
def policy(checkpoint: Path) -> Policy:
    return load_policy(checkpoint)


def counted(policy: Policy) -> Counter:
    """A count from nothing."""
    counter = policy.counted(Tally()).counter
    assert counter
    return counter


def now(policy: Policy) -> Work:
    assert policy.counter
    return policy.counter.tally.now


def canned(policy: Policy) -> list[Group]:
    """Groups of which every token is trained on."""
    groups = canned_groups(policy, SHAPE)
    return [replace(one, completions=[Completion(c.tokens, "") for c in one.completions]) for one in groups]


def only_pairs(row: Row) -> Tokens:
    """What of a row is attention."""
    return replace(Tokens.of(row), tokens=0, scored=0)


def rows_of(policy: Policy, groups: list[Group]) -> list[Row]:
    return [row for (row,) in plan([bare(policy.encode_group(one)) for one in groups], token_budget=10**6)]


def torchs(policy: Policy, row: Row) -> tuple[int, int]:
    """Operations that torch sees in a forward and a backward pass: of attention (unmasked, as written out), and of
    matrices.
    """
    counter = FlopCounterMode(display=False)
    with counter, sdpa_kernel(SDPBackend.MATH):
        policy.packed(row, TokenLoss(lambda logprob, _entropy, _rows: logprob.sum())).loss.backward()
    found = {str(name): count for name, count in counter.get_flop_counts()["Global"].items()}
    attention = sum(count for name, count in found.items() if "bmm" in name)
    return attention, sum(found.values()) - attention


@pytest.mark.parametrize("parts", [("language", "projector", "vision"), ("projector",)])
def test_training_beside_torchs_count(policy: Policy, parts: tuple[str, ...]) -> None:
    """Matrices within 3 %: no gradient of the pixels is computed, and a projector's own is not counted.

    Attention written out computes both halves of a mask, and we count the causal one.
    """
    freeze_but(policy, parts)
    groups = canned(policy)
    (row,), (alone,) = rows_of(policy, groups), rows_of(policy, groups[1:2])
    counter = counted(policy)
    counter.trained(row)
    towers = 2 * tower_attention(counter.shapes.tower, *[IMAGE * counter.shapes.patches] * 2)
    ours = language_training_flops(counter.shapes, only_pairs(row), parts, adapters=False)
    _, theirs = torchs(policy, row)
    total = now(policy).flops["train"]
    assert total
    assert total - ours - towers * (3 if "vision" in parts else 1) == pytest.approx(theirs, rel=0.03)
    assert now(policy).trained_tokens == 181
    forward = sum(language_flops(counter.shapes, only_pairs(alone)))
    assert torchs(policy, alone)[0] == 2 * 3 * forward + towers / 2 * (3 if "vision" in parts else 1)


def test_images_once_a_step_where_features_are_kept(policy: Policy) -> None:
    """Sampled, scored and trained: three times where the tower trains, and its backward pass; once where it is frozen.

    What is sampled is what a row of the same completions takes to score.
    """
    found = []
    for parts in (("language",), ("language", "projector", "vision")):
        freeze_but(policy, parts)
        groups, counter = canned(policy), counted(policy)
        (row,) = rows_of(policy, groups)
        prompts = [policy.encode_prompt(one.views[0]) for one in groups]
        counter.sampled(prompts, [one.completions for one in groups])
        counter.scored(row)
        counter.trained(row)
        assert (now(policy).samples, now(policy).sampled_tokens) == (6, 181)
        found.append(now(policy).flops)
    kept, each = found
    image = vision_flops(counter.shapes, Load(2, 0, 0, 0, IMAGE))
    assert each["sample"] == each["score"] == kept["sample"] == (kept["score"] or 0) + image
    assert each["train"] == 3 * (each["score"] or 0) == (kept["train"] or 0) + 3 * image


def test_a_teachers_work(policy: Policy) -> None:
    groups, processes = canned(policy), Processes()
    pupil, teacher = counted(policy), policy.teaching()
    score_tokens(policy, groups, processes, 10**6, "old_logprob")
    expected = now(policy).flops["score"]
    pupil.tally.take(processes)
    score_tokens(teacher, groups, processes, 10**6, "teacher_logprob")
    assert now(policy).record() == Work(teacher_tokens=181, flops={**ZERO, "teacher": expected}).record()
    pupil.tally.take(processes)
    every = {(group, number) for group, one in enumerate(groups) for number in range(len(one.completions))}
    hidden_states(teacher, groups, every, processes, 10**6, "teacher_hidden")
    assert now(policy).record() == Work(teacher_tokens=181, flops={**ZERO, "teacher": expected}).record()
    assert policy.counter is pupil and not pupil.teaches


def test_totals_are_what_is_written(tmp_path: Path) -> None:
    tally = Tally()
    tally.keep(Work(prompts=2, flops={**ZERO, "score": 5}))
    tally.by_server(7)
    step = tally.take(Processes())
    assert "flops/teacher" not in step.columns() and step.columns()["teacher_tokens"] == 7
    total = tally.total([step.columns(), Work(prompts=1, updates=1).columns()])
    assert total == Work(prompts=3, teacher_tokens=7, updates=1, flops={**ZERO, "score": 5, "teacher": None})
    assert tally.total([{"stage": "rl", "step": 1}]) is None, "rows of an older warmrl"
    tally.keep(Work.read(None))
    assert tally.total([]) is None, "a block of one"


def test_a_block_that_is_read_back_counts_once_more(policy: Policy, tmp_path: Path) -> None:
    """What a stage did before its first step is in its blocks, wherever it was killed."""
    groups = canned(policy)

    def passed() -> Work | None:
        stage = stage_for(policy, DPOConfig(), tmp_path, Processes())
        stage.problems, stage.sampling = [one.problem for one in groups], SimpleNamespace(block_size=2)  # type: ignore[assignment]

        def make(some: object) -> list[dict[str, int]]:
            made.append(some)
            score_tokens(policy, groups[:1], stage.processes, 10**6, "logprob")
            return []

        stage.in_blocks(make)
        return stage.work.total([])

    made: list[object] = []
    first = passed()
    (tmp_path / "blocks" / sorted(one.name for one in tmp_path.glob("blocks/*.jsonl"))[1]).unlink()
    assert passed() == passed() == first and len(made) == 3
    assert first and first.flops["score"]
