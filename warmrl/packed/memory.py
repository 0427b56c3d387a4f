"""How much a packed row would keep for its backward pass, from the model's shape, and recomputing it instead."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.checkpoint import checkpoint
from transformers.modeling_layers import GradientCheckpointingLayer

from warmrl.packed.attention import spans_of
from warmrl.packed.head import chunk_tokens
from warmrl.packed.plan import Row

if TYPE_CHECKING:
    from warmrl.packed.policy import PackedPolicy


def activation_bytes(policy: PackedPolicy, row: Row) -> int:
    """Bytes that a row's forward pass would keep without gradient checkpointing; an estimate, within about a quarter.

    A decoder layer keeps, per token, its residual stream and its normalised form before attention and before the
    MLP, queries, attention's output twice (as computed, and in the row's order), and four vectors of the MLP; and
    per query-key span its keys and values. The head keeps its two gradients and works on one chunk of logits.
    """
    wide, narrow = torch.float32.itemsize, _compute_bytes(policy)
    config = policy.language_model.config
    heads, shared, width = policy.heads
    blocks = [(block.start, block.end, block.answers) for block in row.blocks]
    per_token = _layer_bytes(config.hidden_size, config.intermediate_size, 4, 3 * heads * width, narrow)
    keys = sum(span.keys for span in spans_of(blocks))
    decoder = config.num_hidden_layers * (row.input_ids.shape[1] * per_token + keys * 2 * shared * width * narrow)
    vocabulary, hidden = policy.head_weight.shape
    chunk = min(len(row.targets), chunk_tokens(vocabulary))
    head = len(row.targets) * hidden * narrow + vocabulary * (hidden + 3 * chunk) * wide
    return decoder + head + _tower_bytes(policy, row, narrow)


def _layer_bytes(hidden: int, intermediate: int, mlp: int, attention: int, narrow: int) -> int:
    """Bytes a token of a transformer layer: four residual vectors in float32, and what the matrices read."""
    return 4 * hidden * torch.float32.itemsize + narrow * (2 * hidden + mlp * intermediate + attention)


def _tower_bytes(policy: PackedPolicy, row: Row, narrow: int) -> int:
    """The vision tower's share, by patches of distinct images; nothing when it is not trained."""
    config: Any = getattr(policy.base.config, "vision_config", None)
    prompts = {prompt.image_keys or id(prompt): prompt for prompt in (block.prompt for block in row.blocks)}
    if not any(p.requires_grad for module in policy.parts()["vision"] for p in module.parameters()):
        return 0
    pixels = sum(p.pixels["pixel_values"].numel() for p in prompts.values() if "pixel_values" in p.pixels)
    size = config.patch_size
    height, width = size if isinstance(size, list | tuple) else (size, size)
    patches = pixels // (3 * height * width * getattr(config, "temporal_patch_size", 1))
    layers = getattr(config, "num_hidden_layers", None) or config.depth
    hidden = config.hidden_size
    return patches * layers * _layer_bytes(hidden, config.intermediate_size, 4, 5 * hidden, narrow)


def _compute_bytes(policy: PackedPolicy) -> int:
    """Bytes of a number in the precision of the matrix products."""
    device = policy.head_weight.device.type
    if torch.is_autocast_enabled(device):
        return torch.get_autocast_dtype(device).itemsize
    return policy.head_weight.dtype.itemsize


def recompute(model: Any, on: bool) -> None:
    """Switch gradient checkpointing of every layer that transformers can recompute; the numbers stay the same.

    The layer alone is told that it trains, not what is in it: dropout stays off.
    """
    for layer in model.modules():
        if isinstance(layer, GradientCheckpointingLayer):
            layer.gradient_checkpointing = layer.training = on
            setattr(layer, "_gradient_checkpointing_func", partial(checkpoint, use_reentrant=False))  # noqa: B010
