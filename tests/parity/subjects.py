"""What the parity tests compare on: tiny random Idefics3 checkpoints, canned groups, and one real update on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from encoded_groups import gradient_gaps
from torch import Tensor
from warmrl_pocket.build import SIZES, SPECIAL, build_model, build_processor
from warmrl_pocket.config import GeometryConfig
from warmrl_pocket.geometry import PocketGeometry

from warmrl.domain.group import Completion, Group
from warmrl.domain.problem import Message, Problem, Text
from warmrl.engine.checkpoints import find
from warmrl.engine.policy import Policy
from warmrl.engine.processes import Processes
from warmrl.engine.sharding import full
from warmrl.engine.stage import Stage
from warmrl.engine.training import one_update, weigh
from warmrl.plugin.registry import Registry

TOLERANCE = 1e-5
# Gradient clipping that never clips: gradients are compared as they are.
UNCLIPPED = 1e9
# Images of each group's prompt and lengths of its completions: one image, none, two; some of one token.
SHAPE = ((1, (9, 3, 14, 1)), (1, (5, 12, 2)), (0, (4, 11, 7)), (2, (13, 6)))
TEXT_ONLY = ((0, (4, 11, 7)), (0, (3, 1)))
SINGLE = ((1, (8,)),)


def write_checkpoint(folder: Path, seed: int, size: str = "random") -> Path:
    """A pocket checkpoint with random weights large enough that no tensor's gradient is near zero."""
    model = build_model(SIZES[size], seed)
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=draw)
            if parameter.ndim == 1:
                parameter.add_(0.1 * noise)
            elif "embed" in name:
                parameter.copy_(0.15 * noise)
            else:
                parameter.copy_(noise / parameter[0].numel() ** 0.5)
    model.save_pretrained(folder)
    build_processor().save_pretrained(folder)
    return folder


def load_policy(folder: Path) -> Policy:
    """The checkpoint as the engine loads it to be trained."""
    return Policy.load(find(str(folder), None, Registry.installed()))


def problems(images: Sequence[int]) -> list[Problem]:
    """Problems with so many figures each: drawn ones, their questions put together or without a figure."""
    drawn = iter(PocketGeometry(GeometryConfig(split="train", size=sum(max(n, 1) for n in images))).problems())
    out = []
    for count in images:
        parts = [next(drawn) for _ in range(max(count, 1))]
        (question,) = (part for part in parts[0].messages[-1].parts if isinstance(part, Text))
        figures = [image for part in parts for image in part.images][:count]
        message = Message("user", (*figures, question))
        out.append(Problem(parts[0].id, (message,), parts[0].gold, solution=parts[0].solution))
    return out


def canned_groups(policy: Policy, shape: Sequence[tuple[int, tuple[int, ...]]] = SHAPE, seed: int = 3) -> list[Group]:
    """Groups of random completions with advantages; one completion is trained on in part."""
    draw = torch.Generator().manual_seed(seed)
    groups = []
    for problem, (_, lengths) in zip(problems([images for images, _ in shape]), shape, strict=True):
        completions = []
        for number, length in enumerate(lengths):
            tokens = torch.randint(len(SPECIAL), len(policy.tokenizer), (length,), generator=draw).tolist()
            if number % 2 == 0:
                tokens[-1] = policy.tokenizer.eos_token_id
            one = Completion(tuple(tokens), "", signals={"advantage": float(torch.randn((), generator=draw))})
            completions.append(one)
        groups.append(Group(problem, completions))
    first = groups[0].completions[0]
    first.train = tuple(place % 3 != 1 for place in range(len(first.tokens)))
    return groups


@dataclass(frozen=True)
class Update:
    """The loss of an update and every parameter's gradient."""

    loss: float
    gradients: Mapping[str, Tensor]

    def gaps(self, expected: Update) -> tuple[float, float]:
        """Relative difference of the loss, and the largest of a tensor's gradient (see `gradient_gaps`)."""
        loss = abs(self.loss - expected.loss) / abs(expected.loss)
        gradients = gradient_gaps(dict(self.gradients), dict(expected.gradients))
        assert len(gradients) >= 25
        worst = max(gradients, key=lambda name: gradients[name])
        print(f"loss {self.loss:.6g}: {loss:.1e}; gradients: {gradients[worst]:.1e} ({worst})")
        return loss, gradients[worst]


def agree(found: Update, expected: Update) -> None:
    """Loss and gradients are within the tolerance."""
    assert max(found.gaps(expected)) <= TOLERANCE


def gradients_of(model: torch.nn.Module) -> dict[str, Tensor]:
    """Every gradient that a model holds, by the parameter's name."""
    return {name: full(p.grad.detach()).clone() for name, p in model.named_parameters() if p.grad is not None}


def stage_for(policy: Policy, config: Any, folder: Path, processes: Processes, reference: Path | None = None) -> Stage:
    """A real stage around a policy, without what only sampling and rewards need."""
    unused: Any = None
    return Stage(
        "parity", config, 0, policy, [], unused, unused, unused, unused, unused, processes, Registry.installed(),
        folder, reference=lambda: load_policy(reference or folder),
    )  # fmt: skip


def update_of(stage: Stage, method: Any, groups: Sequence[Group], packed: Any = None) -> Update:
    """The engine's own update on canned groups, with weights and with an optimizer that changes nothing."""
    model = stage.policy.model
    still = torch.optim.SGD(model.parameters(), lr=0.0)
    found = one_update(stage, method, packed or stage.policy.packed, still, groups, 0)
    return Update(found["loss"], gradients_of(model))


def weighed(groups: Sequence[Group], how: str = "token", max_tokens: int = 1024) -> Sequence[Group]:
    """The groups, with each token's weight written into them."""
    weigh(groups, how, max_tokens)
    return groups
