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
    """What `Decoding` is, for one completion a row: a prompt is computed once, and its cache copied for each of them.

    Args:
        policy: The model, in evaluation mode.
        prompts: The distinct prompts; padded on the left to the longest.
        owners: `[R]` which prompt each completion follows.
    """

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
        self.mask, self.position = torch.stack(masks), torch.stack(positions, 1)
        self._feed(torch.cat(embeds))
        self.position = self.position.amax(2, keepdim=True).amax(0, keepdim=True).expand_as(self.position[..., :1])
        self.keep(torch.tensor(owners, device=self.mask.device))

    def _feed(self, embeds: Tensor) -> None:
        position = self.position[0] if len(self.position) == 1 else self.position
        out = self.policy.language_model(
            inputs_embeds=embeds, attention_mask=self.mask, position_ids=position, past_key_values=self.cache,
            use_cache=True,
        )  # fmt: skip
        self.hidden = out.last_hidden_state[:, -1]

    def step(self, tokens: Tensor) -> Tensor:
        """Append `tokens` `[R]`; the hidden states `[R, H]` that predict the next ones."""
        self.mask, self.position = pad(self.mask, (0, 1), value=1), self.position + 1
        self._feed(self.policy.language_model.get_input_embeddings()(tokens[:, None]))
        return self.hidden

    def keep(self, rows: Tensor) -> None:
        """Go on with these completions `[R']` alone."""
        self.cache.reorder_cache(cast("torch.LongTensor", rows))
        self.mask, self.position, self.hidden = self.mask[rows], self.position[:, rows], self.hidden[rows]
