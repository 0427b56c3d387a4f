"""Operations and time of stages and evaluations, from shapes and lengths.

A weight costs 2 operations a token forward, 2 for its input's gradient, 2 for its own; every unique token is computed
once (docs/performance.md), attention counts the pairs that a token sees.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from warmrl.engine.forecast.machines import Machine
from warmrl.packed.shapes import Layers, Shapes

# Shares of a device's peak: of matrix products in training, of memory bandwidth in sampling. Assumptions; the first is
# what well-run training of this size reaches, the second leaves room for all that is no reading of weights.
UTILISATION, BANDWIDTH_USED = 0.4, 0.5


class Passed(Protocol):
    """What one forward pass computes: unique tokens, the (query, key) pairs they see, and the tokens it scores."""

    @property
    def tokens(self) -> float: ...
    @property
    def pairs(self) -> float: ...
    @property
    def scored(self) -> float: ...


@dataclass(frozen=True)
class Load:
    """So many prompts with so many completions each.

    Args:
        prompts: Prompts.
        completions: Completions of each.
        prompt: Tokens of a prompt.
        completion: Tokens of a completion.
        image_tokens: Tokens of a prompt that stand for images.
    """

    prompts: float
    completions: float
    prompt: float
    completion: float
    image_tokens: float

    @property
    def scored(self) -> float:
        """Tokens of completions."""
        return self.prompts * self.completions * self.completion

    @property
    def tokens(self) -> float:
        """Unique tokens."""
        return self.prompts * self.prompt + self.scored

    @property
    def pairs(self) -> float:
        """(query, key) pairs: prompts see themselves, completions their prompt and themselves, causally."""
        own = self.prompt * self.prompt / 2
        return self.prompts * (own + self.completions * self.completion * (self.prompt + self.completion / 2))


def language_flops(shapes: Shapes, load: Passed) -> tuple[float, float]:
    """Operations of one forward pass: the decoder's, and the head's."""
    decoder = shapes.decoder
    matrices = 2 * shapes.matrices["language"] * load.tokens
    attention = 4 * load.pairs * decoder.count * decoder.queries
    return matrices + attention, 2 * shapes.vocabulary * decoder.hidden * load.scored


def vision_flops(shapes: Shapes, load: Load) -> float:
    """Operations of one forward pass of tower and projector over every prompt's images."""
    if shapes.tower is None or not load.image_tokens:
        return 0
    tokens = load.prompts * load.image_tokens
    patches = tokens * shapes.patches
    seen = load.image_tokens * shapes.patches
    tower, projector = shapes.matrices["vision"], shapes.matrices["projector"]
    return 2 * (tower * patches + projector * tokens) + tower_attention(shapes.tower, patches, seen)


def tower_attention(tower: Layers, patches: float, seen: float) -> float:
    """Every patch sees `seen` others in whole layers, its window in the rest."""
    window = min(seen, tower.window or seen)
    return 4 * patches * tower.queries * (tower.whole * seen + (tower.count - tower.whole) * window)


def forward_flops(shapes: Shapes, load: Load) -> float:
    """Operations of scoring, or of sampling, all completions; the vision tower once for each prompt."""
    return sum(language_flops(shapes, load)) + vision_flops(shapes, load)


def training_flops(shapes: Shapes, load: Load, parts: Collection[str], *, adapters: bool, recompute: bool) -> float:
    """Operations of forward and backward passes; images under a frozen tower are counted apart, once for all."""
    found = language_training_flops(shapes, load, parts, adapters=adapters)
    found += language_flops(shapes, load)[0] if recompute else 0
    if "vision" in parts:
        found += vision_flops(shapes, load) * ((2 if adapters else 3) + recompute)
    return found


def language_training_flops(shapes: Shapes, load: Passed, parts: Collection[str], *, adapters: bool) -> float:
    """Operations of decoder and head, forward and backward; a frozen one still hands the gradient of its input on."""
    own = "language" in parts and not adapters
    return sum(language_flops(shapes, load)) * (3 if own else 2)


def seconds_of_training(flops: float, machine: Machine, processes: int) -> float | None:
    """Time of so many operations; None where the device's peak is not known."""
    return flops / (machine.peak * UTILISATION * processes) if machine.peak else None


def seconds_of_sampling(
    shapes: Shapes, load: Load, machine: Machine, processes: int, *, rows: int, longest: int, width: int
) -> float | None:
    """Time of sampling: the weights, and the keys and values, are read once a step of up to `rows` completions.

    Steps follow the longest completion of each lot; no less than the operations take.
    """
    if not machine.peak or not machine.bandwidth:
        return None
    own = load.prompts * load.completions / processes
    lots = max(1.0, own / rows)
    weights = (shapes.matrices["language"] + shapes.vocabulary * shapes.decoder.hidden) * width
    columns = min(own, rows) * (load.prompt / min(load.completions, 4) + load.completion / 2)
    cache = 2 * columns * shapes.decoder.whole * shapes.decoder.keys * width
    read = lots * longest * (weights + cache) / (machine.bandwidth * BANDWIDTH_USED)
    return max(read, forward_flops(shapes, load) / (machine.peak * UTILISATION * processes))
