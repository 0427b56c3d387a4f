"""The least work that an update needs: every unique token once, every distinct image once, nothing recomputed.

A linear layer costs 2 x weights a token forward, the same for its input's gradient, the same for its weight's. Of
attention only the pairs that a token sees are counted, with two products forward and four backward.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from bench.workloads import Canned


@dataclass(frozen=True)
class Lengths:
    """Tokens of prompts and completions by group.

    Args:
        groups: (prompt, its completions), in tokens.
        images: Distinct images.
        image_tokens: Tokens of an image in the decoder.
    """

    groups: tuple[tuple[int, tuple[int, ...]], ...]
    images: int = 0
    image_tokens: int = 0

    @classmethod
    def of(cls, rollouts: Canned, image_tokens: int) -> Lengths:
        """Of canned rollouts."""
        groups = tuple((rollouts.prompt, tuple(len(answer) for answer in group)) for group in rollouts.answers)
        return cls(groups, len(groups) if image_tokens else 0, image_tokens)

    @property
    def fed(self) -> int:
        """Tokens that must be read: a completion's last is a target alone."""
        return sum(prompt + sum(n - 1 for n in answers) for prompt, answers in self.groups)

    @property
    def trained(self) -> int:
        """Tokens that are scored."""
        return sum(sum(answers) for _, answers in self.groups)

    @property
    def pairs(self) -> int:
        """(query, key) pairs: prompts see themselves, completions their prompt and themselves, causally."""
        return sum(
            prompt * (prompt + 1) // 2 + sum((n - 1) * prompt + (n - 1) * n // 2 for n in answers)
            for prompt, answers in self.groups
        )


def linear(modules: Sequence[nn.Module], tokens: int, *, train: bool) -> int:
    """All linear layers and convolutions over patches among `modules`, each weight used once a token."""
    total = 0
    for module in modules:
        if not isinstance(module, nn.Linear | nn.Conv2d | nn.Conv3d):
            continue
        weight = module.weight
        products = 1
        if train:
            # Pixels need no gradient; everything later passes one on.
            products += int(isinstance(module, nn.Linear)) + int(weight.requires_grad)
        total += products * 2 * weight.numel() * tokens
    return total


def attention(pairs: int, layers: int, width: int, *, train: bool) -> int:
    """`width` is heads x head dimension."""
    return (6 if train else 2) * 2 * pairs * layers * width


def least_flops(base: Any, decoder: nn.Module, lengths: Lengths, *, train: bool = True) -> int:
    """Least operations of an update (`train`) or of scoring all completions (not)."""
    config: Any = decoder.config
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    width = config.num_attention_heads * head_dim
    total = linear(list(decoder.modules()), lengths.fed, train=train)
    total += attention(lengths.pairs, config.num_hidden_layers, width, train=train)
    head = base.get_output_embeddings()
    total += linear([head], lengths.trained, train=train)
    return total + vision_flops(base, lengths, train=train)


def vision_flops(base: Any, lengths: Lengths, *, train: bool) -> int:
    """The vision tower and its projection, for each distinct image."""
    if not lengths.images:
        return 0
    count = _idefics3 if hasattr(base.model, "vision_model") else _qwen
    return lengths.images * count(base, lengths.image_tokens, train)


def _idefics3(base: Any, tokens: int, train: bool) -> int:
    """Every patch sees every other; `scale_factor` squared of them become a token."""
    config, patches = base.config.vision_config, tokens * base.config.scale_factor**2
    total = linear(list(base.model.vision_model.modules()), patches, train=train)
    total += attention(patches**2, config.num_hidden_layers, config.hidden_size, train=train)
    return total + linear(list(base.model.connector.modules()), tokens, train=train)


def _qwen(base: Any, tokens: int, train: bool) -> int:
    """Patches see their window, in a few layers the image; the merger joins `spatial_merge_size` squared to a token."""
    tower, config = base.model.visual, base.config.vision_config
    patches = tokens * config.spatial_merge_size**2
    full = len(config.fullatt_block_indexes)
    window = min(patches, (config.window_size // config.patch_size) ** 2)
    total = linear([*tower.patch_embed.modules(), *tower.blocks.modules()], patches, train=train)
    total += attention(patches**2, full, config.hidden_size, train=train)
    total += attention(patches * window, config.depth - full, config.hidden_size, train=train)
    return total + linear(list(tower.merger.modules()), tokens, train=train)
