"""The packed forward pass: a transformers model, its head and the loss as one module."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from warmrl.packed.attention import NAME, Attends, register
from warmrl.packed.attention_gpu import plan_attention
from warmrl.packed.decode import Decoding
from warmrl.packed.decode_cached import CachedDecoding
from warmrl.packed.features import CACHE_BYTES, ImageFeatures
from warmrl.packed.head import Extras, HeadOutput, Loss, TokenLoss, score_tokens
from warmrl.packed.plan import Block, Prompt, Row
from warmrl.packed.support import family_of, why_unpacked, why_unshared


class PackedPolicy(nn.Module):
    """A model that scores packed rows. It is the root module: wrap it for DDP or FSDP2 and call it, not its parts.

    `share` says whether completions share their prompt's computation (pass it to `plan`); None decides by the
    model, True insists (and refuses with a sentence), False never does. `unshared_because` says why not.
    `attention` names a backend (`sdpa`, `varlen`, `flex`); None takes the fastest that is right on the device.
    `feature_bytes` bounds the image features that are kept while vision tower and projector are frozen.
    """

    def __init__(
        self, model: Any, *, share: bool | None = None, attention: str | None = None, feature_bytes: int = CACHE_BYTES
    ) -> None:
        super().__init__()
        self.attention = attention
        self.model = model
        base = model.get_base_model() if hasattr(model, "get_base_model") else model
        self._base = [base]  # in a list, so that it is not registered a second time
        self.family = family_of(base)
        self.features = ImageFeatures(base, self.family, feature_bytes)
        register()
        base.set_attn_implementation({self.family.text_config: NAME})
        self.unshared_because = why_unshared(self.language_model)
        if share and self.unshared_because:
            raise ValueError(f"completions cannot share their prompt here: {self.unshared_because}")
        self.share = self.unshared_because is None if share is None else share
        self.training = model.training  # a sampler gives the whole back as it finds this

    @property
    def base(self) -> Any:
        """The transformers model itself, without an adapter's wrapper."""
        return self._base[0]

    @property
    def language_model(self) -> Any:
        """The decoder: embeddings in, last hidden states out."""
        return self.base.get_submodule(self.family.language_model)

    @property
    def head_weight(self) -> Tensor:
        """`[V, H]` the output head."""
        return self.base.get_output_embeddings().weight

    def parts(self) -> dict[str, list[nn.Module]]:
        """The model's parts, which together hold every parameter: `language` (with the head), `projector`, `vision`."""
        paths = {"projector": self.family.projector, "vision": self.family.vision}
        found = {part: [self.base.get_submodule(path) for path in held] for part, held in paths.items()}
        return {"language": [self.language_model, self.base.get_output_embeddings()], **found}

    @property
    def heads(self) -> tuple[int, int, int]:
        """Query heads, key and value heads, and their width."""
        config = self.language_model.config
        count = config.num_attention_heads
        width = getattr(config, "head_dim", None) or config.hidden_size // count
        return count, getattr(config, "num_key_value_heads", None) or count, width

    def forward(
        self, row: Row, loss: Loss | None = None, *, temperature: float = 1.0, extras: Extras | None = None
    ) -> HeadOutput:
        """Log-probabilities, entropies and the loss of a row's scored tokens. A dummy row's loss is zero."""
        if row.is_dummy:
            loss = TokenLoss(lambda logprob, _entropy, _rows: 0.0 * logprob.sum())
        states = self.hidden(row)
        output = score_tokens(states, self.head_weight, row.targets, loss, temperature=temperature, extras=extras)
        if loss is None or not torch.is_grad_enabled() or output.loss.requires_grad:
            return output
        # What trains (a vision tower alone) has no part in this row; a backward pass must reach it all the same.
        trained = (parameter for parameter in self.parameters() if parameter.requires_grad)
        nothing = [0.0 * (p.to_local() if isinstance(p, DTensor) else p).sum() for p in trained]
        return replace(output, loss=output.loss + sum(nothing)) if nothing else output

    def hidden(self, row: Row) -> Tensor:
        """`[N, H]` the hidden states that predict the row's scored tokens."""
        embeds, deep = self.embed(row.input_ids, row.blocks, row.stand_in)
        positions = torch.cat([self.positions(block) for block in row.blocks], 1)[:, None]
        plan = None
        if len(row.answers) > 1:  # a single completion is one causal sequence, for which the stock attention is right
            if not self.share:
                raise ValueError(f"this row holds several completions; plan with share=False: {self.unshared_because}")
            spans = [(block.start, block.end, block.answers) for block in row.blocks]
            plan = plan_attention(spans, embeds, self.heads, self.attention)
        return self.decode_embeds(embeds, positions, plan, **deep)[0].index_select(0, row.predict)

    def decode(self, prompts: Sequence[Prompt], owners: Sequence[int], longest: int) -> Decoding | CachedDecoding:
        """Begin completions `[R]` of distinct prompts (see `Decoding`). Needs evaluation mode and no gradient."""
        if why_unpacked(self.language_model):
            return CachedDecoding(self, prompts, owners)
        return Decoding(self, prompts, owners, longest)

    def decode_embeds(self, embeds: Tensor, positions: Tensor, plan: Attends | None, **deep: Any) -> Tensor:
        """The decoder: embeddings `[B, T, H]` at positions `[axes, B, T]` to last hidden states `[B, T, H]`.

        `deep` is what `embed` gave with the embeddings.
        """
        position_ids = positions[0] if len(positions) == 1 else positions
        if plan is None:
            more: dict[str, Any] = {"attention_mask": None}
        else:  # a mask of four dimensions is handed on as it is: none is built, and the plan replaces it
            more = {"attention_mask": positions.new_empty(1, 1, 0, 0), "plan": plan}
        return self.language_model(
            inputs_embeds=embeds, position_ids=position_ids, use_cache=False, **more, **deep
        ).last_hidden_state

    def embed(
        self, ids: Tensor, blocks: Sequence[Block], stand_in: Prompt | None = None
    ) -> tuple[Tensor, dict[str, Any]]:
        """`[1, T, H]` token embeddings, with the features of the prompts' images in their places.

        Also what else the decoder is called with: the features that enter behind its first layers, and where.
        """
        embeds = self.language_model.get_input_embeddings()(ids)
        seen = [block for block in blocks if block.prompt.pixels]
        if not seen and stand_in is None:
            return embeds, {}
        shown = [block.prompt for block in seen] + ([stand_in] if stand_in else [])
        features = self.features.of(shown)
        deep: dict[str, Any] = {}
        if seen:
            mask = torch.zeros_like(ids, dtype=torch.bool)
            for block in seen:
                mask[0, block.start : block.end] = block.prompt.ids == self.base.config.image_token_id
            first, *later = torch.cat(features[: len(seen)], 1).to(embeds.dtype)
            embeds = merge(embeds, mask, first)
            deep = {"visual_pos_masks": mask, "deepstack_visual_embeds": later} if later else {}
        if stand_in is not None:
            embeds = embeds + 0.0 * features[-1].sum()
        return embeds, deep

    def positions(self, block: Block) -> Tensor:
        """`[axes, tokens of the block]` positions of a prompt and of completions that each follow it directly."""
        own = self.family.positions(self.base, block.prompt)
        after = [torch.arange(end - start, device=own.device) for start, end in block.answers]
        if not after:
            return own
        return torch.cat([own, (own.max() + 1 + torch.cat(after)).expand(len(own), -1)], 1)


def merge(embeds: Tensor, mask: Tensor, features: Tensor) -> Tensor:
    """`[B, T, H]` with image features `[image tokens, H]` put, in order, where `mask` `[B, T]` is true."""
    if int(mask.sum()) != len(features):
        raise ValueError(f"{int(mask.sum())} image tokens in the prompts, but {len(features)} image features")
    return embeds.masked_scatter(mask[..., None], features)
