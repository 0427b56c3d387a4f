"""Decoding with completions that come and go: each as it is alone, and memory for those that are there."""

import pytest
import torch
from tiny_models import FAMILIES, VISION, tiny_model, tiny_prompt

from warmrl.packed.cache import GROUP
from warmrl.packed.policy import PackedPolicy

LONGEST = 40


def tokens_of(number, count):
    return torch.randint(3, 50, (count,), generator=torch.Generator().manual_seed(number))


def alone(policy, prompt, number, count):
    """The hidden states `[count + 1, H]` of one completion by itself."""
    decoding = policy.decode([prompt], [0], LONGEST)
    return torch.stack([decoding.hidden[0], *(decoding.step(token[None])[0] for token in tokens_of(number, count))])


@pytest.mark.parametrize("family", FAMILIES)
@torch.inference_mode()
def test_neighbours_come_and_go(family):
    """Joining at other steps, prompts shorter and longer, more completions than a group holds, some leaving."""
    policy = PackedPolicy(tiny_model(family))
    prompts = [tiny_prompt(family, n, i % 2 if family in VISION else 0, seed=i) for i, n in enumerate((6, 11, 4, 23))]
    owners = [0, 1, 1, 1, 1, 1, 2, 3, 3]
    expected = [alone(policy, prompts[owner], row, LONGEST - 1) for row, owner in enumerate(owners)]
    given = [tokens_of(row, LONGEST - 1) for row in range(len(owners))]
    rows, ages = [0, 1, 2, 3, 4, 5], [0] * len(owners)
    decoding = policy.decode(prompts[:2], owners[:6], LONGEST)

    def go(steps):
        for _ in range(steps):
            decoding.step(torch.stack([given[row][ages[row]] for row in rows]))
            for place, row in enumerate(rows):
                ages[row] += 1
                assert torch.allclose(decoding.hidden[place], expected[row][ages[row]], atol=2e-5), (row, ages)

    go(5)
    rows += [6]
    decoding.join(prompts[2:3], [0])
    go(3)
    decoding.keep(torch.tensor([1, 3, 4, 6]))
    rows = [1, 3, 4, 6]
    assert torch.allclose(decoding.join(prompts[3:], [0, 0])[0], expected[7][0], atol=2e-5)
    rows += [7, 8]
    go(20)
    decoding.keep(torch.tensor([3, 5]))
    rows = [6, 8]
    go(10)


@torch.inference_mode()
def test_memory_is_for_those_that_are_there():
    """Over a long queue neither columns nor groups grow; what has left is given back."""
    policy = PackedPolicy(tiny_model("qwen3"))
    prompts = [tiny_prompt("qwen3", 5 + 7 * i % 40, seed=i) for i in range(30)]
    decoding = policy.decode(prompts[:2], [0] * 4 + [1] * 4, LONGEST)
    cache, held = decoding.cache, []
    for turn in range(2, 30):
        for _ in range(LONGEST // 2):
            decoding.step(torch.full((8,), 7))
        decoding.keep(torch.arange(4, 8))  # the older four leave, at LONGEST steps of age
        decoding.join(prompts[turn : turn + 1], [0] * 4)
        held.append(cache.columns)
        assert cache.groups == 2
    longest_prompt = max(len(prompt.ids) for prompt in prompts)
    assert cache.steps > 10 * LONGEST
    assert max(held) <= longest_prompt + 2 * LONGEST * GROUP
    assert sorted({tuple(states.shape[:2]) for states in cache.states.values()}) == [(2, cache.columns)]
