"""Writing completions with transformers' own cache, for decoders that cannot be packed (`support.why_unpacked`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers import DynamicCache

from warmrl.packed.plan import Block, Prompt

if TYPE_CHECKING:
    from warmrl.packed.policy import PackedPolicy


class CachedDecoding:
    """What `Decoding` is, for these decoders: completions that enter together are a lot, with a cache of their own.

    Args:
        policy: The model, in evaluation mode.
        prompts: The distinct prompts to begin with.
        owners: `[R]` which of these prompts each completion follows.
    """

    def __init__(self, policy: PackedPolicy, prompts: Sequence[Prompt], owners: Sequence[int]) -> None:
        self.policy = policy
        self.lots = [_Lot(policy, prompts, owners)]

    @property
    def hidden(self) -> Tensor:
        """`[R, H]` what predicts each completion's next token."""
        return torch.cat([lot.hidden for lot in self.lots])

    def join(self, prompts: Sequence[Prompt], owners: Sequence[int]) -> Tensor:
        """Add completions `[n]` of further prompts behind the others; the hidden states `[n, H]` they begin with."""
        self.lots.append(_Lot(self.policy, prompts, owners))
        return self.lots[-1].hidden

    def step(self, tokens: Tensor) -> Tensor:
        """Append `tokens` `[R]`; the hidden states `[R, H]` that predict the next ones."""
        for lot, own in zip(self.lots, tokens.split([len(lot.hidden) for lot in self.lots]), strict=True):
            lot.step(own)
        return self.hidden

    def keep(self, rows: Tensor) -> None:
        """Go on with these completions `[R']` alone, which are named in their order."""
        start, lots = 0, []
        for lot in self.lots:
            end = start + len(lot.hidden)
            own = rows[(rows >= start) & (rows < end)] - start
            start = end
            if len(own):
                lot.keep(own)
                lots.append(lot)
        self.lots = lots


class _Lot:
    """Completions at the same step. A prompt, padded on the left, is computed once and its cache copied for each."""

    def __init__(self, policy: PackedPolicy, prompts: Sequence[Prompt], owners: Sequence[int]) -> None:
        self.policy = policy
        self.cache = DynamicCache(config=policy.language_model.config)
        longest = max(len(prompt.ids) for prompt in prompts)
        embeds, masks, positions = [], [], []
        for prompt in prompts:
            short = longest - len(prompt.ids)
            block = Block(prompt, 0, len(prompt.ids), ())
            embeds.append(pad(policy.embed(prompt.ids[None], [block])[0], (0, 0, short, 0)))
            masks.append(pad(torch.ones_like(prompt.ids), (short, 0)))
            positions.append(pad(policy.positions(block), (short, 0)))
        self.mask = torch.stack(masks)  # [R, T]
        self.position = torch.stack(positions, 1)  # [axes, R, T] at first, then [axes, R, 1]
        self._feed(torch.cat(embeds))
        self.position = self.position.amax((0, 2), keepdim=True).expand_as(self.position[..., :1])
        self.keep(torch.tensor(owners, device=self.mask.device))

    def _feed(self, embeds: Tensor) -> None:
        position = self.position[0] if len(self.position) == 1 else self.position
        out = self.policy.language_model(
            inputs_embeds=embeds, attention_mask=self.mask, position_ids=position, past_key_values=self.cache,
            use_cache=True,
        )  # fmt: skip
        self.hidden = out.last_hidden_state[:, -1]

    def step(self, tokens: Tensor) -> None:
        """Append `tokens` `[R]`."""
        self.mask, self.position = pad(self.mask, (0, 1), value=1), self.position + 1
        self._feed(self.policy.language_model.get_input_embeddings()(tokens[:, None]))

    def keep(self, rows: Tensor) -> None:
        """Go on with these completions `[R']` alone."""
        self.cache.reorder_cache(cast("torch.LongTensor", rows))
        self.mask, self.position, self.hidden = self.mask[rows], self.position[:, rows], self.hidden[rows]
