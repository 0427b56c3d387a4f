"""What each token of a kept answer adds to its text, and how uncertain the policy was before it. No torch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

from warmrl.domain.errors import WarmrlError
from warmrl.engine.checkpoints import locate
from warmrl.engine.samples import blocks
from warmrl.plugin.registry import Registry

if TYPE_CHECKING:
    from tokenizers import Tokenizer

FILE = "tokenizer.json"


@dataclass(frozen=True)
class Kept:
    """The tokens of one answer: its text, their ids, and the policy's entropy before each, in nats."""

    text: str
    ids: Sequence[int]
    entropies: Sequence[float]


@dataclass
class Pieces:
    """A model's tokenizer, as far as it is needed to cut a text where its tokens end."""

    tokenizer: Tokenizer
    _known: dict[tuple[int, ...], str] = field(default_factory=dict)

    def cut(self, kept: Kept) -> tuple[list[str], list[int]] | None:
        """The text in pieces, and each piece's entropy in hundredths of a nat; None where it cannot be told.

        The pieces joined are the text. A letter that several tokens make is one piece with the largest of their
        entropies; a token after the text (the end of the answer) is an empty piece.
        """
        if len(kept.ids) != len(kept.entropies) or not all(map(math.isfinite, kept.entropies)):
            return None
        for way in (self.alone, self.paired, self.streamed):
            if (found := fitted(way(kept.ids), kept.text)) is not None:
                return whole(found, [centinats(one) for one in kept.entropies])
        return None

    def alone(self, ids: Sequence[int]) -> Iterator[str]:
        """Each token's text by itself: right where a vocabulary has the spaces in its tokens, and quick."""
        return (self.text(one) for one in ids)

    def paired(self, ids: Sequence[int]) -> Iterator[str]:
        """What each token adds to the one before it: right where spaces come from joining tokens."""
        for place, one in enumerate(ids):
            before = ids[max(0, place - 1) : place]
            yield self.text(*before, one)[len(self.text(*before)) :]

    def text(self, *ids: int) -> str:
        """The text of a token or two."""
        if ids not in self._known:
            self._known[ids] = self.tokenizer.decode(list(ids), skip_special_tokens=False)
        return self._known[ids]

    def streamed(self, ids: Iterable[int]) -> Iterator[str]:
        """What each token adds to all before it, nothing while a letter is not complete: always right, and slow."""
        from tokenizers.decoders import DecodeStream

        stream = DecodeStream(skip_special_tokens=False)
        for token in ids:
            yield stream.step(self.tokenizer, token) or ""


def fitted(pieces: Iterable[str], text: str) -> list[str] | None:
    """The pieces as far as the text goes, then empty ones; None if they are not the text's."""
    out, at = [], 0
    for piece in pieces:
        if at == len(text):
            out.append("")
        elif text.startswith(piece, at):
            out.append(piece)
            at += len(piece)
        else:
            return None
    return out if at == len(text) else None


def whole(pieces: Sequence[str], entropies: Sequence[int]) -> tuple[list[str], list[int]]:
    """The same with tokens that only begin a letter joined to the one that ends it."""
    last = max((place for place, piece in enumerate(pieces) if piece), default=-1)
    texts: list[str] = []
    numbers: list[int] = []
    held = 0
    for place, (piece, entropy) in enumerate(zip(pieces, entropies, strict=True)):
        if not piece and place < last:
            held = max(held, entropy)
            continue
        texts.append(piece)
        numbers.append(max(held, entropy))
        held = 0
    return texts, numbers


def centinats(entropy: float) -> int:
    """Nats as whole hundredths: more than an eye can tell from a shade, and short to write."""
    return max(0, round(100 * float(entropy)))


def pieces_of(path: str, revision: str | None, registry: Registry) -> Pieces | None:
    """The tokenizer of a model that is on this machine; None where it has no tokenizer.json here."""
    from tokenizers import Tokenizer

    try:
        folder = locate(path, registry) or from_cache(path, revision)
    except WarmrlError:
        return None
    file = None if folder is None else folder / FILE
    if file is None or not file.is_file():
        return None
    try:
        return Pieces(Tokenizer.from_file(str(file)))
    except Exception:  # the library raises bare exceptions for whatever is wrong with a file
        return None


def from_cache(path: str, revision: str | None) -> Path | None:
    """Where the Hub's tokenizer was kept when the model was loaded; nothing is downloaded."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(path, FILE, revision=revision)
    return Path(found).parent if isinstance(found, str) else None


def kept_tokens(
    folder: Path, wanted: set[tuple[str, int]], prompts: Mapping[str, str] | None
) -> dict[tuple[str, int], Kept]:
    """Tokens of these answers (problem id, index) in a folder of the store; what is not known there is left out."""
    from safetensors.numpy import load_file

    out: dict[tuple[str, int], Kept] = {}
    for block in blocks(folder):
        if not block.tokens().exists():
            continue
        try:
            kept = load_file(block.tokens())
            ids, entropies = kept["ids"].tolist(), kept["entropies"].tolist()
        except (SafetensorError, KeyError, OSError):
            continue
        if len(ids) == len(entropies):
            out |= dict(of_block(block.rows, ids, entropies, wanted, prompts))
    return out


def of_block(
    rows: Sequence[Mapping[str, Any]],
    ids: Sequence[int],
    entropies: Sequence[float],
    wanted: set[tuple[str, int]],
    prompts: Mapping[str, str] | None,
) -> Iterator[tuple[tuple[str, int], Kept]]:
    """The wanted answers of one block, whose tokens stand one answer after another."""
    at = 0
    for row in rows:
        start, at = at, at + row["tokens"]
        cell = (row["problem"], row["index"])
        if cell in wanted and (prompts is None or prompts.get(row["problem"]) == row["prompt"]):
            yield cell, Kept(row["completion"], ids[start:at], entropies[start:at])
