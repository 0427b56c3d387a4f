"""Completions of decoders that cannot be packed: what joins later does not change the others, and is not changed.

That each is what the model's own forward gives is a check of `test_models.py`.
"""

import pytest
import torch
from model_checks import UNSHARED
from tiny_models import WITH_IMAGES, tiny_prompt

from warmrl.packed.policy import PackedPolicy

STEPS = 5


def alone(policy, prompt, tokens):
    """Hidden states `[1 + steps, H]` of one completion."""
    decoding = policy.decode([prompt], [0], STEPS)
    return torch.cat([decoding.hidden, *(decoding.step(token[None]) for token in tokens)])


@pytest.mark.parametrize("subject", UNSHARED[1:4], ids=lambda subject: subject.name)
def test_joining_and_leaving(subject):
    policy = PackedPolicy(subject.build())
    images = subject.prompts in WITH_IMAGES
    prompts = [tiny_prompt(subject.prompts, 5 + 3 * i, i % 2 if images else 0, seed=i) for i in range(3)]
    tokens = torch.randint(3, 50, (3, STEPS), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = [alone(policy, prompt, own) for prompt, own in zip(prompts, tokens, strict=True)]
        decoding = policy.decode(prompts[:2], [1, 0], STEPS)
        found = {(1, 0): decoding.hidden[0], (0, 0): decoding.hidden[1]}
        found[1, 1], found[0, 1] = decoding.step(tokens[[1, 0], 0])
        (found[2, 0],) = decoding.join(prompts[2:], [0])
        found[1, 2], found[0, 2], found[2, 1] = decoding.step(torch.stack([tokens[1, 1], tokens[0, 1], tokens[2, 0]]))
        decoding.keep(torch.tensor([1, 2]))
        found[0, 3], found[2, 2] = decoding.step(torch.stack([tokens[0, 2], tokens[2, 1]]))
        decoding.keep(torch.tensor([1]))
        (found[2, 3],) = decoding.step(tokens[2, 2:3])
    assert max(float((hidden - expected[i][step]).abs().max()) for (i, step), hidden in found.items()) <= 1e-5
