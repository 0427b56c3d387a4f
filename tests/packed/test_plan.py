"""Properties of every plan: each trained token once, budgets kept, equal rows for every rank, nothing misplaced."""

from collections import Counter

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from warmrl.packed.plan import Answer, EncodedGroup, Prompt, plan

answers = st.lists(st.lists(st.booleans(), min_size=1, max_size=12), min_size=1, max_size=6)
groups = st.lists(st.tuples(st.integers(1, 20), st.booleans(), answers), min_size=0, max_size=8)


def encode(drawn):
    """Groups whose token ids are all different, so that a token says where it belongs."""
    found, following = [], 0
    for prompt, image, masks in drawn:
        ids = torch.arange(following, following + prompt)
        following += prompt
        members = []
        for mask in masks:
            own = torch.arange(following, following + len(mask))
            following += len(mask)
            members.append(Answer(own, 0, torch.tensor(mask), {"id": own}))
        pixels = {"pixel_values": torch.zeros(1)} if image else {}
        found.append(EncodedGroup((Prompt(ids, pixels),), tuple(members)))
    return found


@settings(max_examples=80, deadline=None)
@given(groups, st.integers(1, 60), st.integers(1, 4), st.booleans(), st.booleans())
def test_every_plan(drawn, budget, ranks, share, whole):
    encoded = encode(drawn)
    steps = plan(encoded, token_budget=budget, ranks=ranks, share=share, whole=whole)
    trained = Counter(int(i) for group in encoded for a in group.answers for i in a.ids[a.train])
    rows = [row for step in steps for row in step]
    real = [row for row in rows if not row.is_dummy]
    assert Counter(int(i) for row in real for i in row.targets) == trained
    if ranks > 1:
        assert all(len(step) == ranks for step in steps)
        assert len(rows) - len(real) < ranks
        assert len({bool(row.stand_in) or any(b.prompt.pixels for b in row.blocks) for row in rows}) <= 1
    for row in rows:
        check(row, encoded, budget, share, whole)
    if share and whole:
        assert len({group for row in real for group, _, _ in row.answers}) == sum(len(row.blocks) for row in real)


def check(row, encoded, budget, share, whole):
    """One row: within the budget unless it cannot be, its spans in order, its tokens predicted by the one before."""
    length = row.input_ids.shape[1]
    single = len(row.answers) == 1
    assert single or (share and (length <= budget or (whole and len(row.blocks) == 1)))
    assert torch.equal(row.columns["id"], row.targets)
    assert len(row.targets) == sum(count for _, _, count in row.answers)
    at = 0
    for block in row.blocks:
        assert block.start == at
        assert torch.equal(row.input_ids[0, block.start : block.end], block.prompt.ids)
        at = block.end
        for start, end in block.answers:
            assert start == at
            at = end
    assert at == length
    if row.is_dummy:
        return
    for predict, target, (group, number, place) in zip(row.predict, row.targets, row.owner.tolist(), strict=True):
        answer = encoded[group].answers[number]
        assert answer.ids[place] == target
        before = answer.ids[place - 1] if place else encoded[group].prompts[0].ids[-1]
        assert row.input_ids[0, predict] == before


def test_rows_are_balanced():
    drawn = [(5, False, [[True] * (3 + i % 7)] * 4) for i in range(32)]
    rows = [row for step in plan(encode(drawn), token_budget=150, ranks=4) for row in step]
    lengths = [row.input_ids.shape[1] for row in rows]
    assert max(lengths) - min(lengths) <= 30


def test_tokens_computed_once():
    """A group's prompt is in its row once; last tokens of completions are targets alone."""
    ((row,),) = plan(encode([(10, False, [[True] * 5] * 8)]), token_budget=1000)
    assert row.input_ids.shape[1] == 10 + 8 * 4


def test_columns_must_agree():
    group = EncodedGroup(
        (Prompt(torch.arange(3)),),
        (
            Answer(torch.arange(2), 0, torch.ones(2, dtype=torch.bool), {"a": torch.zeros(2)}),
            Answer(torch.arange(2), 0, torch.ones(2, dtype=torch.bool), {"b": torch.zeros(2)}),
        ),
    )
    with pytest.raises(ValueError, match="differ in their columns"):
        plan([group], token_budget=100)
