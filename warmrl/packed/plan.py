"""Packs groups of encoded completions into rows of one long sequence each, balanced by cost under a token budget."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypeVar

import torch
from torch import Tensor

T = TypeVar("T")

# Attention costs about one token's worth of matrix products per this many query-key pairs: a layer has about
# 24 H^2 multiplications in its matrices and 4 H per pair, so 6 H pairs; H of 1.5k to 3.5k gives 9k to 21k.
PAIRS_PER_TOKEN = 12288


@dataclass(frozen=True)
class Prompt:
    """One view of a problem's prompt, encoded.

    Args:
        ids: `[P]` int64, image tokens already expanded.
        pixels: The processor's other outputs for this prompt's images, as the model takes them (`pixel_values`,
            `image_grid_thw`, ...); empty for text.
        image_keys: The identity of each image's pixels. Images with equal keys share one run of the vision tower,
            whatever is beside them; a prompt without keys is taken as different from all others.
    """

    ids: Tensor
    pixels: Mapping[str, Tensor] = field(default_factory=dict)
    image_keys: tuple[str, ...] = ()

    def to(self, device: torch.device | str) -> Prompt:
        """The same prompt on another device."""
        return replace(self, ids=self.ids.to(device), pixels={k: v.to(device) for k, v in self.pixels.items()})


@dataclass(frozen=True)
class Answer:
    """One completion, encoded.

    Args:
        ids: `[C]` int64.
        view: Which of its group's prompts it follows.
        train: `[C]` bool, the tokens that are scored and trained on.
        columns: What the loss reads about each token, each `[C]` or `[C, ...]`.
    """

    ids: Tensor
    view: int
    train: Tensor
    columns: Mapping[str, Tensor] = field(default_factory=dict)

    @cached_property
    def trained(self) -> Tensor:
        """`[n]` positions within the completion of its trained tokens."""
        return self.train.nonzero().squeeze(1)

    @cached_property
    def fed(self) -> int:
        """How many of its tokens the model must read: all before the last trained one."""
        return int(self.trained[-1]) if len(self.trained) else 0


@dataclass(frozen=True)
class EncodedGroup:
    """The prompts (views) of one problem and the completions that follow them."""

    prompts: tuple[Prompt, ...]
    answers: tuple[Answer, ...]


@dataclass(frozen=True)
class Block:
    """A prompt at `[start, end)` of a row and the spans of its completions, which read it and themselves alone."""

    prompt: Prompt
    start: int
    end: int
    answers: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Row:
    """One packed sequence `[prompt | completion | completion | prompt | ...]` of T tokens, N of them to be scored.

    Only trained tokens are scored. A completion's last trained token and what follows it are targets, never inputs.

    Args:
        input_ids: `[1, T]`.
        blocks: The prompts and the spans of their completions, in order.
        predict: `[N]` the position whose hidden state predicts each scored token (the one before it; a
            completion's first token is predicted by its prompt's last).
        targets: `[N]` the scored tokens.
        owner: `[N, 3]` for each scored token its group, its answer within the group, its place in the completion.
        answers: (group, answer, number of scored tokens), in the order of the scored tokens.
        columns: What the loss reads, each `[N, ...]`.
        stand_in: A prompt with an image that the row's vision tower runs at weight zero, so that every rank
            touches the same modules; None when the row has images itself or no row of the plan has.
        is_dummy: The row only keeps a rank in step; its loss has weight zero.
    """

    input_ids: Tensor
    blocks: tuple[Block, ...]
    predict: Tensor
    targets: Tensor
    owner: Tensor
    answers: tuple[tuple[int, int, int], ...]
    columns: Mapping[str, Tensor]
    stand_in: Prompt | None = None
    is_dummy: bool = False

    def to(self, device: torch.device | str) -> Row:
        """The same row on another device."""
        return replace(
            self,
            input_ids=self.input_ids.to(device),
            blocks=tuple(replace(block, prompt=block.prompt.to(device)) for block in self.blocks),
            predict=self.predict.to(device),
            targets=self.targets.to(device),
            owner=self.owner.to(device),
            columns={name: column.to(device) for name, column in self.columns.items()},
            stand_in=self.stand_in and self.stand_in.to(device),
        )

    def by_answer(self, values: Tensor) -> Iterator[tuple[int, int, Tensor]]:
        """Per-token results `[N, ...]` back by completion: (group, answer, `[scored tokens, ...]`)."""
        counts = [count for _, _, count in self.answers]
        for (group, answer, _), part in zip(self.answers, values.split(counts), strict=True):
            yield group, answer, part


@dataclass(frozen=True)
class _Piece:
    """A prompt and some of the completions of its group, which go into one row together."""

    group: int
    prompt: Prompt
    answers: tuple[tuple[int, Answer], ...]

    @cached_property
    def tokens(self) -> int:
        return len(self.prompt.ids) + sum(answer.fed for _, answer in self.answers)

    @cached_property
    def cost(self) -> float:
        """Work in tokens: one per token, and attention by query-key pairs."""
        prompt = len(self.prompt.ids)
        pairs = prompt * prompt / 2 + sum(a.fed * (prompt + a.fed / 2) for _, a in self.answers)
        return self.tokens + pairs / PAIRS_PER_TOKEN


def plan(
    groups: Sequence[EncodedGroup],
    *,
    token_budget: int,
    ranks: int = 1,
    rank: int | None = None,
    share: bool = True,
    whole: bool = False,
) -> list[list[Row]]:
    """Pack groups into rows: `[micro-step][rank]`, every rank with as many rows as the others.

    A group stays in one row unless it is over the budget; then it is split and its prompt computed again. A single
    completion over the budget, or a `whole` group, has a row of its own. Completions without a trained token are left
    out.

    Args:
        groups: What one optimizer update trains on, over all ranks.
        token_budget: Most tokens in a row.
        ranks: Processes that share the work.
        rank: Whose rows get their columns (they may be large); None: all.
        share: False gives one completion per row (models whose attention cannot share a prompt; the reference).
        whole: Never split the completions of a prompt that may share it (their loss is one).
    """
    most = sys.maxsize if whole else token_budget
    pieces = [piece for index, group in enumerate(groups) for piece in _pieces(index, group, most, share)]
    if not pieces:
        return []
    bins = _bins(pieces, token_budget, ranks) if share else [[piece] for piece in pieces]
    bins.sort(key=lambda held: -sum(piece.cost for piece in held))
    rows = [_row(held, with_columns=rank is None or number % ranks == rank) for number, held in enumerate(bins)]
    if ranks > 1:
        rows = _keep_in_step(rows, pieces, ranks)
    return [rows[start : start + ranks] for start in range(0, len(rows), ranks)]


def _pieces(index: int, group: EncodedGroup, token_budget: int, share: bool) -> Iterator[_Piece]:
    """One piece per view of a group, or several when it is over the budget (or may not share)."""
    for view, prompt in enumerate(group.prompts):
        held = [(i, a) for i, a in enumerate(group.answers) if a.view == view and len(a.trained)]
        if not share:
            yield from (_Piece(index, prompt, (answer,)) for answer in held)
            continue
        room = token_budget - len(prompt.ids)
        for part in _first_fit([(answer.fed, (i, answer)) for i, answer in held], room):
            yield _Piece(index, prompt, tuple(sorted(part, key=lambda item: item[0])))


def _first_fit(items: Sequence[tuple[int, T]], room: int) -> list[list[T]]:
    """First-fit decreasing: items of (size, thing) into few bins of at most `room`; a larger one has its own."""
    bins: list[list[T]] = []
    left: list[int] = []
    for size, thing in sorted(items, key=lambda item: -item[0]):
        at = next((i for i, free in enumerate(left) if free >= size), None)
        if at is None:
            at = len(bins)
            bins.append([])
            left.append(room)
        bins[at].append(thing)
        left[at] -= size
    return bins


def _bins(pieces: Sequence[_Piece], token_budget: int, ranks: int) -> list[list[_Piece]]:
    """Pieces into the fewest rows (a multiple of `ranks` where there are pieces enough), balanced by cost."""
    packed = _first_fit([(piece.tokens, piece) for piece in pieces], token_budget)
    count = min(len(pieces), -(-len(packed) // ranks) * ranks)
    bins: list[list[_Piece]] = [[] for _ in range(count)]
    cost, tokens = [0.0] * count, [0] * count
    for piece in sorted(pieces, key=lambda piece: -piece.cost):
        free = [i for i in range(count) if tokens[i] + piece.tokens <= token_budget or not bins[i]]
        if not free:
            return packed
        at = min(free, key=cost.__getitem__)
        bins[at].append(piece)
        cost[at] += piece.cost
        tokens[at] += piece.tokens
    return [held for held in bins if held]


def _row(pieces: Sequence[_Piece], *, with_columns: bool = True) -> Row:
    """Lay pieces out in one sequence, in the order of their groups."""
    pieces = sorted(pieces, key=lambda piece: (piece.group, piece.answers[0][0]))
    ids, blocks, starts, ends, at = [], [], [], [], 0
    for piece in pieces:
        start, end = at, at + len(piece.prompt.ids)
        ids += [piece.prompt.ids, *(answer.ids[: answer.fed] for _, answer in piece.answers)]
        at, spans = end, []
        for _, answer in piece.answers:
            starts.append(at)
            ends.append(end)
            spans.append((at, at + answer.fed))
            at += answer.fed
        blocks.append(Block(piece.prompt, start, end, tuple(spans)))
    owners = [(piece.group, number) for piece in pieces for number, _ in piece.answers]
    answers = [answer for piece in pieces for _, answer in piece.answers]
    place = torch.cat([answer.trained for answer in answers])
    counts = [len(answer.trained) for answer in answers]
    of_answer = torch.tensor([(*owner, a, e) for owner, a, e in zip(owners, starts, ends, strict=True)])
    group, number, first, after = of_answer.repeat_interleave(torch.tensor(counts), 0).unbind(1)
    trained = torch.cat([answer.train for answer in answers])
    return Row(
        input_ids=torch.cat(ids)[None],
        blocks=tuple(blocks),
        predict=torch.where(place == 0, after - 1, first + place - 1),
        targets=torch.cat([answer.ids for answer in answers])[trained],
        owner=torch.stack([group, number, place], 1),
        answers=tuple((*owner, count) for owner, count in zip(owners, counts, strict=True)),
        columns=_columns(answers, trained) if with_columns else {},
    )


def _columns(answers: Sequence[Answer], trained: Tensor) -> dict[str, Tensor]:
    """The columns of all trained tokens, `[N, ...]`, answers end to end."""
    names = answers[0].columns.keys()
    for answer in answers:
        if answer.columns.keys() != names:
            raise ValueError(f"completions differ in their columns: {sorted(names)} and {sorted(answer.columns)}")
    return {name: torch.cat([answer.columns[name] for answer in answers])[trained] for name in names}


def _keep_in_step(rows: Sequence[Row], pieces: Sequence[_Piece], ranks: int) -> list[Row]:
    """Fill up with dummy rows to a multiple of `ranks`; give rows without an image a stand-in when any row has one."""
    shortest = min(pieces, key=lambda piece: (not piece.prompt.pixels, piece.tokens))
    _, answer = shortest.answers[0]
    one = int(answer.trained[0]) + 1
    cut = Answer(answer.ids[:one], 0, answer.train[:one], {name: c[:one] for name, c in answer.columns.items()})
    dummy = replace(_row([_Piece(-1, shortest.prompt, ((-1, cut),))]), is_dummy=True)
    rows = [*rows, *[dummy] * (-len(rows) % ranks)]
    stand_in = shortest.prompt if shortest.prompt.pixels else None
    seen = [any(block.prompt.pixels for block in row.blocks) for row in rows]
    return [row if has else replace(row, stand_in=stand_in) for row, has in zip(rows, seen, strict=True)]
