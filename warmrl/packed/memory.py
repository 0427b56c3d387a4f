"""How much a packed row's update takes, from the model's shapes and the row's lengths; and recomputing it instead.

The same arithmetic serves a live row (whether it fits, `warmrl.engine.recompute`) and a plan without any weights. It
follows what torch keeps for a backward pass: a matrix product keeps its input when its weight trains, a norm its input
(and what it divided), an activation function and a product their inputs, attention its four tensors.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.checkpoint import checkpoint
from transformers.modeling_layers import GradientCheckpointingLayer

from warmrl.packed.attention import padded, spans_of
from warmrl.packed.head import chunk_tokens
from warmrl.packed.plan import Row
from warmrl.packed.shapes import Layers, Shapes

if TYPE_CHECKING:
    from warmrl.packed.policy import PackedPolicy

WIDE = torch.float32.itemsize
# Tensors as large as a chunk of logits that exist at once: the logits and their softmax (the gradient takes its place);
# with a teacher also its logits, the gap between the two and the gradient.
CHUNKS, CHUNKS_WITH_TEACHER = 2, 5


@dataclass(frozen=True)
class Lengths:
    """What of a row its memory follows from.

    Args:
        tokens: Tokens of the row.
        queries: Tokens that attend, padding included.
        keys: Keys that its spans attend to, summed, padding included.
        scored: Scored tokens.
        patches: Patches of its distinct images.
    """

    tokens: int
    queries: int
    keys: int
    scored: int
    patches: int


@dataclass(frozen=True)
class Training:
    """What trains, and in which precision.

    Args:
        parts: The parts that train, themselves or by adapters.
        rank: Of the adapters; 0: the parts' own weights train.
        weights: Bytes of a weight as it is held, and so of the residual stream.
        products: Bytes of a number in matrix products. Fewer than `WIDE` means autocast, which copies the input of
            every matrix apart.
        teacher: Whether the loss is a divergence to a teacher over the vocabulary.
        head_copy: Bytes of a weight of the output head's copy for its products; 0: it is used as it is.
    """

    parts: frozenset[str]
    rank: int
    weights: int
    products: int
    teacher: bool = False
    head_copy: int = 0

    @property
    def casts(self) -> bool:
        """Whether every matrix gets a copy of its input."""
        return self.products < WIDE


@dataclass(frozen=True)
class Activations:
    """Bytes of a row on the way.

    Args:
        kept: What the forward pass keeps of all layers.
        recomputed: What it keeps when layers are recomputed: their inputs.
        layer: What one layer keeps, the largest.
        working: What one layer's backward pass holds beside that, the largest.
        head: What the head holds while it works: its gradients, and a chunk of logits.
        head_gradient: What the head's backward pass starts with.
    """

    kept: int
    recomputed: int
    layer: int
    working: int
    head: int
    head_gradient: int

    def peaks(self, recompute: bool) -> tuple[int, int]:
        """The most while the head works, and the most in the backward pass."""
        if recompute:
            return self.recomputed + self.head, self.recomputed + self.head_gradient + self.layer + self.working
        return self.kept + self.head, self.kept + self.head_gradient + self.working


def activations(shapes: Shapes, row: Lengths, how: Training) -> Activations:
    """The estimate, from shapes alone."""
    decoder = _layer(shapes.decoder, (row.tokens, row.queries, row.keys), "language" in how.parts, how)
    last = row.tokens * shapes.decoder.hidden * WIDE * (1 if how.rank else 2)  # the norm behind the last layer
    layers = [decoder] * shapes.decoder.count
    inputs = shapes.decoder.count * row.tokens * shapes.decoder.hidden * how.weights
    working = _working(shapes.decoder, row.tokens, how)
    around = last
    if shapes.tower and "vision" in how.parts:
        tower = _layer(shapes.tower, (row.patches,) * 3, True, how)
        layers += [tower] * shapes.tower.count
        inputs += shapes.tower.count * row.patches * shapes.tower.hidden * how.weights
        working = max(working, _working(shapes.tower, row.patches, how))
    if {"vision", "projector"} & how.parts and row.patches:
        around += _projector(shapes, row, how)
    head, gradient = _head(shapes, row, how)
    return Activations(sum(layers) + around, inputs + around, max(layers), working, head, gradient)


def _layer(layers: Layers, counts: tuple[int, int, int], trains: bool, how: Training) -> int:
    """Bytes that one layer keeps of so many tokens, queries and keys."""
    tokens, asking, keys = counts
    hidden, inner, queries = layers.hidden, layers.intermediate, layers.queries
    norms = 2 * hidden * (1 if layers.plain_norm or how.rank else 2)
    readers = (1 if layers.fused else 3) + (2 if layers.gated else 1) if how.casts else 2
    mlp = 4 if layers.gated else 2
    adapters = how.rank * (2 + readers)
    if not trains:
        readers, adapters = 0, 0
    narrow = tokens * (readers * hidden + mlp * inner + queries + adapters) + 2 * asking * queries
    return tokens * norms * WIDE + (narrow + 2 * keys * layers.keys) * how.products


def _working(layers: Layers, tokens: int, how: Training) -> int:
    """Bytes of gradients inside one layer's backward pass: two of the MLP's width, two of the stream's."""
    return tokens * (2 * layers.intermediate * how.products + 2 * layers.hidden * WIDE)


def _projector(shapes: Shapes, row: Lengths, how: Training) -> int:
    """Bytes that the projector keeps: its norm, and what its matrices read."""
    assert shapes.tower is not None
    inputs = sum(reads for reads, _ in shapes.projector) + sum(gives for _, gives in shapes.projector[:-1])
    norm = 0 if shapes.tower.plain_norm else 2 * shapes.tower.hidden * WIDE
    return row.patches * norm + row.patches // shapes.patches * inputs * how.products


def _head(shapes: Shapes, row: Lengths, how: Training) -> tuple[int, int]:
    """Bytes while the head works, and what its backward pass starts with."""
    trains = "language" in how.parts and not how.rank
    weight = shapes.vocabulary * shapes.decoder.hidden
    chunk = min(row.scored, chunk_tokens(shapes.vocabulary)) * shapes.vocabulary * WIDE
    states = row.scored * shapes.decoder.hidden * WIDE
    gradient = weight * WIDE if trains else 0
    copies = CHUNKS_WITH_TEACHER if how.teacher else CHUNKS
    return copies * chunk + 2 * states + gradient + weight * how.head_copy, 2 * gradient + 2 * states


def forward_bytes(shapes: Shapes, row: Lengths, how: Training) -> int:
    """The most bytes of a pass that only scores: what one layer works on, and then the head."""
    stream = row.tokens * shapes.decoder.hidden * WIDE
    layer = row.tokens * shapes.decoder.intermediate * 3 * how.products + 2 * stream
    chunk = min(row.scored, chunk_tokens(shapes.vocabulary)) * shapes.vocabulary * WIDE
    head = CHUNKS * chunk + shapes.vocabulary * shapes.decoder.hidden * how.head_copy
    return max(layer, head) + stream


def activation_bytes(policy: PackedPolicy, shapes: Shapes, row: Row) -> int:
    """The most bytes that a row takes without recomputing, beside weights, gradients and the optimizer."""
    return max(activations(shapes, lengths_of(shapes, row), training_of(policy)).peaks(recompute=False))


def lengths_of(shapes: Shapes, row: Row) -> Lengths:
    """The lengths of a row; images that prompts share count once."""
    blocks = [(block.start, block.end, block.answers) for block in row.blocks]
    prompts = {prompt.image_keys or id(prompt): prompt for prompt in (block.prompt for block in row.blocks)}
    pixels = sum(p.pixels["pixel_values"].numel() for p in prompts.values() if "pixel_values" in p.pixels)
    tokens = row.input_ids.shape[1]
    queries, keys = padded(spans_of(blocks)) if len(row.answers) > 1 else (tokens, tokens)
    return Lengths(tokens, queries, keys, len(row.targets), pixels // max(shapes.patch, 1))


def training_of(policy: PackedPolicy) -> Training:
    """What trains of a live model, and in which precision."""
    weight = policy.head_weight
    adapters = [p for name, p in policy.model.named_parameters() if ".lora_A." in name and p.requires_grad]
    parts = {part: any(p.requires_grad for m in held for p in m.parameters()) for part, held in policy.parts().items()}
    device, held = weight.device.type, weight.dtype.itemsize
    products = torch.get_autocast_dtype(device).itemsize if torch.is_autocast_enabled(device) else held
    return Training(
        frozenset(part for part, trains in parts.items() if trains),
        max((len(p) for p in adapters), default=0),
        held,
        products,
        head_copy=head_copy(device, held, products),
    )


def head_copy(device: str, held: int, products: int) -> int:
    """Bytes of a weight of the head's copy: a CPU multiplies in float32, a GPU in the products' precision."""
    wanted = products if device == "cuda" else WIDE
    return 0 if held == wanted else wanted


def recompute(model: Any, on: bool) -> None:
    """Switch gradient checkpointing of every layer that transformers can recompute; the numbers stay the same.

    The layer alone is told that it trains, not what is in it: dropout stays off.
    """
    for layer in model.modules():
        if isinstance(layer, GradientCheckpointingLayer):
            layer.gradient_checkpointing = layer.training = on
            setattr(layer, "_gradient_checkpointing_func", partial(checkpoint, use_reentrant=False))  # noqa: B010
