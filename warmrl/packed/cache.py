"""Keys and values of completions in the making: a prompt's are held once for all completions that follow it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

# Completions that share a prompt's keys and values. More would hold a prompt fewer times, but hold more columns for
# completions that have finished or are younger, and compute more products that the mask throws away.
GROUP = 4
# Room for new tokens is made for at least this many steps.
ROOM = 32
# The cache is laid out anew without finished completions once this share of its slots would do.
SHRINK_AT = 1 / 2


@dataclass
class Seat:
    """Where one completion's keys and values are, as indices into the flattened `[groups * columns]` of a layer.

    Args:
        prompt: Which prompt it follows, by a number of its own.
        length: Tokens of the prompt.
        born: The step at which the completion joined; it has a token for each step since.
        start: Index of the prompt's first token; the others follow.
        own: Index of the completion's first token; the others follow, `size` apart.
    """

    prompt: int
    length: int
    born: int
    start: int
    own: int = 0


class Cache:
    """The attention of completions that each take one token a step, whenever they joined.

    A layer's states `[groups, columns, 2, kv heads, d]` are keys and values, in the model's dtype: a column takes
    `4 * layers * kv heads * d` bytes in bfloat16. A group has `size` slots for completions of one prompt; its columns
    are the prompt's, then `size` a step, one for each slot. They are aligned to the right, so that a step writes to
    the same columns of all groups. All queries of a group attend to all its columns in one batched call, under a mask
    by which each sees its own: that reads the prompt once and is faster than a call per completion, although it
    computes products that the mask throws away.

    When completions join, when enough have left and when there is no room for a step, the cache is laid out anew:
    groups that have ended leave it, and so do columns on the left that only they used. So there are never more than
    the longest prompt's and `2 * longest * size` columns, however many completions come and go.

    Args:
        longest: Most tokens that any completion will have.
    """

    def __init__(self, longest: int) -> None:
        self.longest = longest
        self.states: dict[int, Tensor] = {}
        self.seats: list[Seat] = []
        self.slots: list[int] = []  # of each completion: group * size + place
        self.prompts = self.steps = 0
        self.groups = self.size = self.end = self.columns = 0  # of the columns, those before `end` are in use
        self.spans = torch.empty(0, 2)  # by group: the first columns of its prompt and of what follows it
        self.mask: Tensor | None = None  # made when a step first needs it

    def join(self, states: Sequence[Tensor], lengths: Sequence[int], owners: Sequence[int]) -> None:
        """Seat new completions `[n]` behind those that are here.

        Args:
            states: Keys and values of their prompts, packed end to end, by layer `[T, 2, kv heads, d]`.
            lengths: Tokens of each prompt.
            owners: `[n]` which of these prompts each completion follows.
        """
        here = len(self.seats)
        self.seats += [Seat(self.prompts + o, lengths[o], self.steps, sum(lengths[:o])) for o in owners]
        self.prompts += len(lengths)
        self._lay_out(here, states)

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these completions alone."""
        self.seats = [self.seats[row] for row in rows]
        groups = grouped(self.seats)
        if len(groups) * max(map(len, groups), default=0) <= SHRINK_AT * self.groups * self.size:
            self.columns = self.end  # no room: the next step, or who joins before it, lays the cache out anew
        self._sit([self.slots[row] for row in rows])

    def step(self) -> None:
        """Begin a step, in which every layer's `attend` adds a token to each completion."""
        if self.end + self.size > self.columns:
            self._lay_out(len(self.seats))
        self.steps += 1
        self.end += self.size

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float | None) -> Tensor:
        """Add a step's keys and values `[R, kv heads, 1, d]`; attend to prompt and past: `[R, 1, heads, d]`."""
        query, key = query.to(value.dtype), key.to(value.dtype)  # rotary positions leave float32 under autocast
        (_, heads, _, width), kv_heads = query.shape, key.shape[1]
        groups, size, repeats = self.groups, self.size, heads // kv_heads
        if self.mask is None:
            self.mask = self._mask(repeats, query)
        states = self.states[layer]
        new = torch.stack([key[:, :, 0], value[:, :, 0]], 1).index_select(0, self.row_of_slot)
        states[:, self.end - size : self.end] = new.view(groups, size, 2, kv_heads, width)
        asked = query[:, :, 0].index_select(0, self.row_of_slot).view(groups, size, kv_heads, repeats, width)
        keys, values = states[:, : self.end].permute(2, 0, 3, 1, 4)
        out = scaled_dot_product_attention(
            asked.permute(0, 2, 3, 1, 4).reshape(groups, kv_heads, repeats * size, width),
            keys,
            values,
            attn_mask=self.mask[..., : self.end],
            scale=scaling,
        )
        out = out.view(groups, kv_heads, repeats, size, width).permute(0, 3, 1, 2, 4)
        return out.reshape(groups * size, 1, heads, width).index_select(0, self.slot_of_row)

    def _mask(self, repeats: int, query: Tensor) -> Tensor:
        """`[groups or 1, 1, repeats * size, columns]`, added to scores: a query sees its prompt and its own columns."""
        spans = self.spans[:1] if bool((self.spans == self.spans[0]).all()) else self.spans
        start, own = spans.to(query.device)[:, :, None, None].unbind(1)
        column = torch.arange(self.columns, device=query.device)
        place = torch.arange(self.size, device=query.device).repeat(repeats)[:, None]
        seen = (column >= start) & ((column < own) | ((column - own) % self.size == place))
        return query.new_zeros(()).where(seen, -torch.inf)[:, None]

    def _lay_out(self, here: int, joined: Sequence[Tensor] = ()) -> None:
        """Move what is wanted to new columns: the states of the `here` first seats, and of the others from `joined`.

        Makes room for half as many steps again as the oldest completion has behind it, but no more than are left.
        """
        rows = grouped(self.seats)
        groups = [[self.seats[row] for row in group] for group in rows]
        size = max(map(len, groups))
        ages = [self.steps - group[0].born for group in groups]
        end = max(group[0].length + age * size for group, age in zip(groups, ages, strict=True))
        room = max(1, min(max(ROOM, max(ages) // 2), self.longest - min(ages)))
        kept = sum(group[0] < here for group in rows)
        index = self._sources(groups, size, end).to((joined or self.states)[0].device)
        for layer, like in enumerate(joined or self.states.values()):
            new = like.new_empty(len(groups), end + room * size, *like.shape[-3:])
            if kept:
                new[:kept, :end] = taken(self.states[layer].flatten(0, 1), index[:kept])
            if joined:
                new[kept:, :end] = taken(joined[layer], index[kept:])
            self.states[layer] = new
        self.groups, self.size, self.end, self.columns = len(groups), size, end, end + room * size
        self._settle(rows)

    def _sources(self, groups: Sequence[Sequence[Seat]], size: int, end: int) -> Tensor:
        """`[groups, end]` where each column's states are now; columns left of a prompt repeat its first token's."""
        heads = torch.tensor([(group[0].start, group[0].length, self.steps - group[0].born) for group in groups])
        start, length, age = heads[:, :, None].unbind(1)
        own = torch.tensor([[seat.own for seat in group] + [group[0].own] * (size - len(group)) for group in groups])
        token = torch.arange(end) - (end - age * size - length)  # counted from the first of the group's prompt
        after = (token - length).clamp(min=0)
        written = own.gather(1, after % size) + after // size * self.size
        return torch.where(token < length, start + token.clamp(min=0), written)

    def _settle(self, rows: Sequence[Sequence[int]]) -> None:
        """Note where everyone is, after the cache was laid out in these groups of `rows`."""
        slots = [0] * len(self.seats)
        spans = []
        for group, members in enumerate(rows):
            own = self.end - (self.steps - self.seats[members[0]].born) * self.size
            spans.append((own - self.seats[members[0]].length, own))
            for place, row in enumerate(members):
                seat = self.seats[row]
                seat.own = group * self.columns + own + place
                seat.start = seat.own - place - seat.length
                slots[row] = group * self.size + place
        self.spans, self.mask = torch.tensor(spans), None
        self._sit(slots)

    def _sit(self, slots: list[int]) -> None:
        """Seat the completions; an empty slot computes what any of them does, and is never read."""
        self.slots = slots
        rows = [0] * (self.groups * self.size)
        for row, slot in enumerate(slots):
            rows[slot] = row
        device = self.states[0].device
        self.slot_of_row, self.row_of_slot = torch.tensor(slots, device=device), torch.tensor(rows, device=device)


def grouped(seats: Sequence[Seat]) -> list[list[int]]:
    """Completions in groups of one prompt each and at most `GROUP`, as even as they come, in order of the prompts."""
    members: dict[int, list[int]] = {}
    for row, seat in enumerate(seats):
        members.setdefault(seat.prompt, []).append(row)
    size = max((-(-len(rows) // -(-len(rows) // GROUP)) for rows in members.values()), default=1)
    return [rows[start : start + size] for rows in members.values() for start in range(0, len(rows), size)]


def taken(states: Tensor, index: Tensor) -> Tensor:
    """The states `[n, ...]` at `index` `[groups, columns]`."""
    return states.index_select(0, index.flatten()).view(*index.shape, *states.shape[1:])
