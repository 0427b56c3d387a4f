"""Writing completions token by token: each prompt is computed once, and more may join while others are written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from warmrl.packed.attention import Attends
from warmrl.packed.attention_gpu import plan_attention
from warmrl.packed.cache import Cache
from warmrl.packed.plan import Block, Prompt

if TYPE_CHECKING:
    from warmrl.packed.policy import PackedPolicy


class Decoding:
    """R completions in the making, each with as many tokens as there were steps since it joined.

    `hidden` `[R, H]` predicts each completion's next token. Call `step` with the tokens chosen, `keep` to drop
    finished completions, `join` to add others. What is computed for a completion does not depend on the others.

    Args:
        policy: The model, in evaluation mode.
        prompts: The distinct prompts to begin with.
        owners: `[R]` which of these prompts each completion follows.
        longest: Most tokens that any completion will have, now or later.
    """

    def __init__(self, policy: PackedPolicy, prompts: Sequence[Prompt], owners: Sequence[int], longest: int) -> None:
        self.policy = policy
        self.cache = Cache(longest)
        self.hidden, self.position = self._enter(prompts, owners)  # position [axes, R] of the next token

    def join(self, prompts: Sequence[Prompt], owners: Sequence[int]) -> Tensor:
        """Add completions `[n]` of further prompts behind the others; the hidden states `[n, H]` they begin with."""
        hidden, position = self._enter(prompts, owners)
        self.hidden, self.position = torch.cat([self.hidden, hidden]), torch.cat([self.position, position], 1)
        return hidden

    def keep(self, rows: Tensor) -> None:
        """Go on with these completions `[R']` alone."""
        self.hidden, self.position = self.hidden[rows], self.position[:, rows]
        self.cache.keep(rows.tolist())

    def step(self, tokens: Tensor) -> Tensor:
        """Append `tokens` `[R]`; the hidden states `[R, H]` that predict the next ones."""
        self.cache.step()
        embeds = self.policy.language_model.get_input_embeddings()(tokens[:, None])
        self.hidden = self.policy.decode_embeds(embeds, self.position[..., None], self.cache)[:, 0]
        self.position = self.position + 1
        return self.hidden

    def _enter(self, prompts: Sequence[Prompt], owners: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Compute prompts in one packed forward pass and seat their completions: hidden states and positions."""
        lengths = [len(prompt.ids) for prompt in prompts]
        ends = torch.tensor(lengths).cumsum(0).tolist()
        blocks = [Block(p, end - len(p.ids), end, ()) for p, end in zip(prompts, ends, strict=True)]
        embeds, deep = self.policy.embed(torch.cat([prompt.ids for prompt in prompts])[None], blocks)
        spans = [(block.start, block.end, ()) for block in blocks]
        prefill = _Prefill(plan_attention(spans, embeds, self.policy.heads, self.policy.attention))
        positions = [self.policy.family.positions(self.policy.base, prompt) for prompt in prompts]
        hidden = self.policy.decode_embeds(embeds, torch.cat(positions, 1)[:, None], prefill, **deep)[0]
        self.cache.join(prefill.states, lengths, owners)
        rows = torch.tensor(owners, device=hidden.device)
        last = torch.tensor(ends, device=hidden.device)[rows] - 1
        first = torch.stack([own.max() + 1 for own in positions])[rows]
        return hidden[last], first.expand(len(positions[0]), -1)


class _Prefill:
    """The attention of packed prompts, which notes every layer's keys and values `[T, 2, kv heads, d]`."""

    def __init__(self, plan: Attends) -> None:
        self.plan = plan
        self.states: list[Tensor] = []

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float | None) -> Tensor:
        self.states.append(torch.cat([key.to(value.dtype), value]).permute(2, 0, 1, 3))
        return self.plan.attend(layer, query, key, value, scaling)
