"""Encoded groups for tests of the packed core, and its results per completion and per parameter."""

from __future__ import annotations

import torch
from tiny_models import WITH_IMAGES, tiny_prompt
from torch import Tensor, nn

from warmrl.packed.head import TokenLoss
from warmrl.packed.plan import Answer, EncodedGroup, Row, plan
from warmrl.packed.policy import PackedPolicy

# Images and completions of each group: one image, none, several, one again (the same as the first's), G = 1.
MIXED = ((1, 4), (0, 3), (2, 2), (1, 3), (1, 1))


def answer(count: int, draw: torch.Generator, *, view: int = 0, train: float = 1.0, top: int = 61) -> Answer:
    """A random completion, all or part of it trained, with two columns."""
    ids = torch.randint(3, top, (count,), generator=draw)
    trained = torch.rand(count, generator=draw) < train
    columns = {"a": torch.randn(count, generator=draw), "wide": torch.randn(count, 2, generator=draw)}
    return Answer(ids, view, trained, columns)


def groups_for(
    family: str, shape: tuple[tuple[int, int], ...] = MIXED, *, views: int = 1, top: int = 61
) -> list[EncodedGroup]:
    """Groups of uneven prompts and completions of tokens below `top`; some are trained on in part.

    Below the usual 61 are image tokens too, which a family's own forward takes for images.
    """
    draw = torch.Generator().manual_seed(7)
    groups = []
    for index, (images, count) in enumerate(shape):
        images = images if family in WITH_IMAGES else 0
        prompts = tuple(tiny_prompt(family, 5 + index + 2 * v, images, seed=index % 3) for v in range(views))
        lengths = torch.randint(1, 15, (count,), generator=draw).tolist()
        answers = [answer(n, draw, view=j % views, train=0.7 if j % 2 else 1.0, top=top) for j, n in enumerate(lengths)]
        groups.append(EncodedGroup(prompts, tuple(answers)))
    return groups


def some_value(a: Tensor, logprob: Tensor, entropy: Tensor) -> Tensor:
    """A loss of log-probability and entropy, with a column in it."""
    return (a * logprob + 0.3 * a**2 * entropy * logprob).sum()


def some_loss(row: Row) -> TokenLoss:
    """The same of a row."""
    a = row.columns["a"]
    return TokenLoss(lambda logprob, entropy, at: some_value(a[at], logprob, entropy))


Scores = dict[tuple[int, int], Tensor]


def run(
    model: nn.Module, groups: list[EncodedGroup], *, share: bool, budget: int = 10**6, ranks: int = 1
) -> tuple[Scores, dict[str, Tensor]]:
    """Log-probability and entropy `[n, 2]` of each completion, and each parameter's gradient, over a whole plan."""
    policy = PackedPolicy(model, share=share)
    model.zero_grad()
    scores: Scores = {}
    for rows in plan(groups, token_budget=budget, ranks=ranks, share=share):
        for row in rows:
            out = policy(row, some_loss(row))
            out.loss.backward()
            if not row.is_dummy:
                for group, number, part in row.by_answer(torch.stack([out.logprob, out.entropy], 1)):
                    scores[group, number] = part
    return scores, {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def furthest(found: Scores, expected: Scores) -> float:
    """The largest difference of any token's log-probability or entropy."""
    assert found.keys() == expected.keys()
    return max(float((found[key] - expected[key]).abs().max()) for key in expected)


def gradient_gaps(found: dict[str, Tensor], expected: dict[str, Tensor]) -> dict[str, float]:
    """|difference| of each tensor's gradient relative to its norm, which counts as at least 1e-6 of the global norm.

    Left out: the key biases of vision towers without rotary positions (Idefics3's, CLIP). A constant added to all
    keys leaves the softmax as it is, so their gradient is zero; what float32 gives is rounding (and checked to be).
    """
    assert found.keys() == expected.keys()
    total = float(torch.stack([g.double().norm() for g in expected.values()]).norm())
    gaps = {}
    for name, gradient in expected.items():
        if "vision" in name and name.endswith("k_proj.bias"):
            assert float(gradient.norm()) < 1e-6 * total
            continue
        scale = max(float(gradient.double().norm()), 1e-6 * total)
        gaps[name] = float((found[name] - gradient).double().norm()) / scale
    return gaps
