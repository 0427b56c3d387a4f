"""Writing completions token by token: each prompt is computed once, its keys and values serve all its completions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from warmrl.packed.attention import PrefixPlan
from warmrl.packed.plan import Block, Prompt

if TYPE_CHECKING:
    from warmrl.packed.policy import PackedPolicy

# Completions of one prompt that share a batched attention call: more would waste arithmetic, fewer memory traffic.
GROUP = 8
# Room for new tokens is made for at least this many steps.
ROOM = 32
# The cache is rebuilt without finished completions once this share of its slots would do.
REBUILD_AT = 3 / 4


class _Prefill:
    """The attention of packed prompts, which keeps every layer's keys and values `[T, kv heads, d]`."""

    def __init__(self, plan: PrefixPlan) -> None:
        self.plan = plan
        self.kept: list[tuple[Tensor, Tensor]] = []

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float | None) -> Tensor:
        self.kept.append((key[0].transpose(0, 1), value[0].transpose(0, 1)))
        return self.plan.attend(layer, query, key, value, scaling)


@dataclass
class _Slots:
    """Which completion sits where: `groups` groups of `size` slots each; the completions of a group share a prompt.

    Args:
        of_row: `[R]` slot of each completion, `group * size + place`.
        prompt: `[groups]` the prompt of each group.
        size: Slots of a group.
    """

    of_row: Tensor
    prompt: Tensor
    size: int

    @classmethod
    def of(cls, owners: Sequence[int], device: torch.device) -> _Slots:
        """Seat completions `[R]` by their prompts, in groups of at most `GROUP`, as even as they come."""
        members: dict[int, list[int]] = {}
        for row, prompt in enumerate(owners):
            members.setdefault(prompt, []).append(row)
        size = max(-(-len(rows) // -(-len(rows) // GROUP)) for rows in members.values())
        seats: list[int] = [0] * len(owners)
        prompts: list[int] = []
        for prompt, rows in members.items():
            for start in range(0, len(rows), size):
                for place, row in enumerate(rows[start : start + size]):
                    seats[row] = len(prompts) * size + place
                prompts.append(prompt)
        return cls(torch.tensor(seats, device=device), torch.tensor(prompts, device=device), size)

    @property
    def groups(self) -> int:
        return len(self.prompt)

    def seated(self) -> Tensor:
        """`[groups * size]` a completion for each slot; any for an empty one (what it computes is never read)."""
        found = torch.zeros(self.groups * self.size, dtype=torch.long, device=self.of_row.device)
        found[self.of_row] = torch.arange(len(self.of_row), device=self.of_row.device)
        return found

    def packed(self) -> tuple[_Slots, Tensor, Tensor]:
        """The slots without empty groups and, where all groups have some, empty slots.

        Also returns where each new group was `[groups']` and each new slot within its group `[groups', size']`.
        """
        group, place = self.of_row // self.size, self.of_row % self.size
        kept, member = group.unique(return_inverse=True)
        counts = torch.bincount(member)
        order = member.argsort(stable=True)
        first = counts.cumsum(0) - counts
        seat = torch.empty_like(member)
        seat[order] = torch.arange(len(member), device=member.device) - first[member[order]]
        size = int(counts.max())
        places = torch.zeros(len(kept), size, dtype=torch.long, device=member.device)
        places[member, seat] = place
        return _Slots(member * size + seat, self.prompt[kept], size), kept, places


class Decoding:
    """R completions in the making, all at the same step.

    `hidden` `[R, H]` predicts each completion's next token. Call `step` with the tokens chosen, and `keep` to drop
    finished completions.

    The cache `[groups, kv heads, W + steps * size, d]` holds a prompt once for the completions of a group: W columns
    for the prompt, right-aligned, then `size` columns a step, one for each of them. All queries of a group attend
    to all its columns in one batched call, under a mask by which each sees its own: that reads the prompt once and
    is faster than a call per completion, although it computes products that the mask throws away.

    Args:
        policy: The model, in evaluation mode.
        prompts: The distinct prompts.
        owners: `[R]` which prompt each completion follows.
        longest: Most tokens that any completion will have.
    """

    def __init__(self, policy: PackedPolicy, prompts: Sequence[Prompt], owners: Sequence[int], longest: int) -> None:
        self.policy = policy
        self.longest = longest
        self.steps = 0
        self.lengths = torch.tensor([len(prompt.ids) for prompt in prompts], device=prompts[0].ids.device)
        self.prompt_columns = int(self.lengths.max())
        hidden, kept, first = self._prefill(prompts)
        self._seat(_Slots.of(owners, hidden.device))
        rows = torch.tensor(owners, device=hidden.device)
        self.hidden, self.position = hidden[rows], first[:, rows]  # position [axes, R] of the next token
        columns = self._prompt_tokens()
        self.keys, self.values = ([states[i][columns].transpose(1, 2) for states in kept] for i in (0, 1))
        self.room = 0
        self.mask = hidden.new_empty(0)

    def _prefill(self, prompts: Sequence[Prompt]) -> tuple[Tensor, list[tuple[Tensor, Tensor]], Tensor]:
        """Last hidden states `[n, H]`, keys and values by layer, and the first position `[axes, n]` of completions."""
        ends = self.lengths.cumsum(0)
        spans = [(end - len(prompt.ids), end) for prompt, end in zip(prompts, ends.tolist(), strict=True)]
        blocks = [Block(prompt, start, end, ()) for prompt, (start, end) in zip(prompts, spans, strict=True)]
        embeds, deep = self.policy.embed(torch.cat([prompt.ids for prompt in prompts])[None], blocks)
        plan = PrefixPlan.of([(start, end, ()) for start, end in spans], device=embeds.device, dtype=embeds.dtype)
        attend = _Prefill(plan)
        positions = [self.policy.family.positions(self.policy.base, prompt) for prompt in prompts]
        hidden = self.policy.decode_embeds(embeds, torch.cat(positions, 1)[:, None], attend, **deep)[0, ends - 1]
        first = torch.stack([own.max() + 1 for own in positions])
        return hidden, attend.kept, first.expand(len(positions[0]), -1)

    def _seat(self, slots: _Slots) -> None:
        self.slots = slots
        self.row_of_slot = slots.seated()

    def _prompt_tokens(self) -> Tensor:
        """`[groups, W]` the packed prompt token in each column; columns left of a shorter prompt repeat its first."""
        lengths = self.lengths[self.slots.prompt, None]
        starts = self.lengths.cumsum(0)[self.slots.prompt, None] - lengths
        place = torch.arange(self.prompt_columns, device=starts.device) - (self.prompt_columns - lengths)
        return starts + place.clamp(min=0)

    def _make_room(self, repeats: int) -> None:
        """Columns for more steps, half as many again as there are, in every layer; and the mask that goes with them."""
        self.room = min(self.steps + max(ROOM, self.steps // 2), self.longest)
        used = self.prompt_columns + (self.steps - 1) * self.slots.size
        held = self.prompt_columns + self.room * self.slots.size
        for caches in (self.keys, self.values):
            for layer, old in enumerate(caches):
                caches[layer] = old.new_empty(*old.shape[:2], held, old.shape[3])
                caches[layer][:, :, :used] = old[:, :, :used]
        self.mask = self._mask(repeats)

    def _mask(self, repeats: int) -> Tensor:
        """`[groups or 1, 1, repeats * size, columns]`, added to scores: a query sees its prompt and its own columns."""
        lengths, size = self.lengths[self.slots.prompt], self.slots.size
        if int(lengths.min()) == self.prompt_columns:
            lengths = lengths[:1]
        prompt = torch.arange(self.prompt_columns, device=lengths.device) >= self.prompt_columns - lengths[:, None]
        own = torch.eye(size, dtype=torch.bool, device=lengths.device).repeat(repeats, self.room)
        seen = torch.cat([
            prompt[:, None, None, :].expand(-1, 1, repeats * size, -1), own.expand(len(lengths), 1, -1, -1)
        ], 3)  # fmt: skip
        return torch.zeros(seen.shape, dtype=self.hidden.dtype, device=seen.device).masked_fill_(~seen, -torch.inf)

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float | None) -> Tensor:
        """Add a step's keys and values `[R, kv heads, 1, d]`; attend to prompt and past: `[R, 1, heads, d]`."""
        (_, heads, _, width), kv_heads = query.shape, key.shape[1]
        groups, size, repeats = self.slots.groups, self.slots.size, heads // kv_heads
        if self.steps > self.room:
            self._make_room(repeats)
        end = self.prompt_columns + self.steps * size
        for cache, new in ((self.keys[layer], key), (self.values[layer], value)):
            seated = new[:, :, 0].index_select(0, self.row_of_slot).view(groups, size, kv_heads, width)
            cache[:, :, end - size : end] = seated.transpose(1, 2)
        asked = query[:, :, 0].index_select(0, self.row_of_slot).view(groups, size, kv_heads, repeats, width)
        out = scaled_dot_product_attention(
            asked.permute(0, 2, 3, 1, 4).reshape(groups, kv_heads, repeats * size, width),
            self.keys[layer][:, :, :end],
            self.values[layer][:, :, :end],
            attn_mask=self.mask[..., :end],
            scale=scaling,
        )
        out = out.view(groups, kv_heads, repeats, size, width).permute(0, 3, 1, 2, 4)
        return out.reshape(groups * size, 1, heads, width).index_select(0, self.slots.of_row)

    def step(self, tokens: Tensor) -> Tensor:
        """Append `tokens` `[R]`; the hidden states `[R, H]` that predict the next ones."""
        self.steps += 1
        embeds = self.policy.language_model.get_input_embeddings()(tokens[:, None])
        self.hidden = self.policy.decode_embeds(embeds, self.position[..., None], self)[:, 0]
        self.position = self.position + 1
        return self.hidden

    def keep(self, rows: Tensor) -> None:
        """Go on with these completions `[R']` alone."""
        self.position, self.hidden = self.position[:, rows], self.hidden[rows]
        self._seat(replace(self.slots, of_row=self.slots.of_row[rows]))
        slots, groups, places = self.slots.packed()
        if slots.groups * slots.size <= REBUILD_AT * self.slots.groups * self.slots.size:
            self._rebuild(slots, groups, places)

    def _rebuild(self, slots: _Slots, groups: Tensor, places: Tensor) -> None:
        """Move what is still wanted of the cache to new slots; room is made at the next step."""
        steps = torch.arange(self.steps, device=groups.device)[:, None] * self.slots.size
        prompt = torch.arange(self.prompt_columns, device=groups.device).expand(len(groups), -1)
        columns = torch.cat([prompt, self.prompt_columns + (steps + places[:, None]).flatten(1)], 1)
        for caches in (self.keys, self.values):
            for layer, old in enumerate(caches):
                caches[layer] = old[groups[:, None], :, columns].transpose(1, 2)
        self._seat(slots)
        self.room = 0
