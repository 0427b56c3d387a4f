"""The numbers of a model that its memory and its work follow from, of a live model or of one without weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import nn

if TYPE_CHECKING:
    from warmrl.packed.policy import PackedPolicy


@dataclass(frozen=True)
class Layers:
    """A stack of alike transformer layers.

    Args:
        count: How many.
        hidden: Width of the residual stream.
        intermediate: Width inside the MLP.
        queries: Query heads times their width.
        keys: Key and value heads times their width.
        gated: Whether the MLP has a gate beside its way up.
        plain_norm: `LayerNorm`, which keeps its input alone; the RMS norms are written out and keep what they divide,
            too.
        fused: Queries, keys and values come of one matrix.
        matrices: Weights of all its matrices.
        whole: Layers whose attention sees all tokens; the others see `window` at a time.
        window: Tokens that see each other in the other layers.
    """

    count: int
    hidden: int
    intermediate: int
    queries: int
    keys: int
    gated: bool
    plain_norm: bool
    fused: bool
    matrices: int
    whole: int
    window: int = 0


@dataclass(frozen=True)
class Shapes:
    """A checkpoint by its numbers alone.

    Args:
        family: Its `model_type`.
        parameters: Parameters by part, none of them twice: `embedding`, `language` (the decoder without it), `head`
            (0 when it is the embedding), `projector`, `vision`.
        matrices: Weights of linear layers and patch convolutions by the parts that `train` names; the output head
            apart.
        largest: Parameters of the largest tensor.
        decoder: The decoder's layers.
        tower: The vision tower's; None: text only.
        projector: (in, out) of the projector's matrices.
        vocabulary: Rows of the output head.
        patches: Patches of the vision tower that become one token.
        patch: Numbers of a patch.
        shares: Whether completions share their prompt's computation.
    """

    family: str
    parameters: dict[str, int]
    matrices: dict[str, int]
    largest: int
    decoder: Layers
    tower: Layers | None
    projector: tuple[tuple[int, int], ...]
    vocabulary: int
    patches: int
    patch: int
    shares: bool

    @property
    def total(self) -> int:
        """All parameters."""
        return sum(self.parameters.values())

    def trained(self, parts: Sequence[str]) -> int:
        """Parameters of the parts (`language` is the decoder with its embedding and head)."""
        names = {"language": ("embedding", "language", "head")}
        return sum(self.parameters[name] for part in parts for name in names.get(part, (part,)))


def shapes_of(policy: PackedPolicy) -> Shapes:
    """The numbers of a model, which may be on the `meta` device; adapters are left out."""
    base, parts = policy.base, policy.parts()
    embedding, head = base.get_input_embeddings(), base.get_output_embeddings()
    own = {id(p): p.numel() for p in embedding.parameters()}
    counts = {"embedding": sum(own.values())}
    counts["head"] = sum(p.numel() for p in head.parameters() if id(p) not in own)
    decoder = sum(p.numel() for p in _weights([policy.language_model])) - counts["embedding"]
    counts |= {"language": decoder} | {
        part: sum(p.numel() for p in _weights(parts[part])) for part in ("projector", "vision")
    }
    merged = _merged(base.config)
    return Shapes(
        family=base.config.model_type,
        parameters=counts,
        matrices={
            "language": _matrices([policy.language_model]),
            **{part: _matrices(parts[part]) for part in ("projector", "vision")},
        },
        largest=max(p.numel() for p in _weights([base])),
        decoder=_decoder(policy),
        tower=_tower(base.config, parts["vision"]),
        projector=tuple((one.in_features, one.out_features) for one in _linears(parts["projector"])),
        vocabulary=policy.head_weight.shape[0],
        patches=merged,
        patch=_patch(getattr(base.config, "vision_config", None)),
        shares=policy.share,
    )


def _weights(modules: Sequence[nn.Module]) -> list[nn.Parameter]:
    """Parameters, each once, adapters left out."""
    found = {id(p): p for module in modules for name, p in module.named_parameters() if ".lora_" not in f".{name}"}
    return list(found.values())


def _linears(modules: Sequence[nn.Module]) -> Iterator[nn.Linear]:
    """Linear layers, adapters' left out."""
    for module in modules:
        for name, layer in module.named_modules():
            if isinstance(layer, nn.Linear) and ".lora_" not in f".{name}":
                yield layer


def _matrices(modules: Sequence[nn.Module]) -> int:
    """Weights of linear layers and of convolutions over patches."""
    patches = (x for module in modules for x in module.modules() if isinstance(x, nn.Conv2d | nn.Conv3d))
    return sum(one.weight.numel() for one in (*_linears(modules), *patches))


def _layers(modules: Sequence[nn.Module], intermediate: int, **sizes: Any) -> Layers:
    """What the first of a stack of layers says of all."""
    stack = next(x for module in modules for x in module.modules() if isinstance(x, nn.ModuleList) and len(x))
    linears = list(_linears([stack[0]]))
    norms = [one for one in stack[0].modules() if isinstance(one, nn.LayerNorm)]
    up = [one for one in linears if one.out_features == intermediate]
    return Layers(
        count=len(stack),
        intermediate=intermediate,
        gated=len(up) > 1,
        plain_norm=bool(norms),
        fused=len(linears) - len(up) - 1 < 4,  # one way down; queries, keys, values and what follows attention
        matrices=sum(one.weight.numel() for one in linears),
        **{"whole": len(stack), **sizes},
    )


def _decoder(policy: PackedPolicy) -> Layers:
    config = policy.language_model.config
    heads, shared, width = policy.heads
    kinds = getattr(config, "layer_types", None) or ["full_attention"] * config.num_hidden_layers
    return _layers(
        [policy.language_model],
        config.intermediate_size,
        hidden=config.hidden_size,
        queries=heads * width,
        keys=shared * width,
        whole=kinds.count("full_attention"),
        window=getattr(config, "sliding_window", None) or 0,
    )


def _tower(config: Any, modules: Sequence[nn.Module]) -> Layers | None:
    """The vision tower's layers, of all families alike: queries, keys and values as wide as the stream."""
    vision = getattr(config, "vision_config", None)
    if vision is None or not modules:
        return None
    hidden = vision.hidden_size
    found = _layers(modules, vision.intermediate_size, hidden=hidden, queries=hidden, keys=hidden)
    seen = getattr(vision, "fullatt_block_indexes", None)
    if seen is None:
        return found
    window = (vision.window_size // vision.patch_size) ** 2
    return Layers(**{**vars(found), "whole": len(seen), "window": window})


def _merged(config: Any) -> int:
    """Patches that become one token: `spatial_merge_size`, `scale_factor` or `downsample_ratio`, squared."""
    vision = getattr(config, "vision_config", None)
    side = getattr(vision, "spatial_merge_size", None) or getattr(config, "scale_factor", None)
    if side is None:
        side = 1 / getattr(config, "downsample_ratio", 1.0)
    return round(side**2)


def _patch(vision: Any) -> int:
    """Numbers of a patch: channels, height, width, and two frames where images are taken as short films."""
    if vision is None:
        return 0
    size = vision.patch_size
    height, width = size if isinstance(size, list | tuple) else (size, size)
    return 3 * height * width * getattr(vision, "temporal_patch_size", 1)
