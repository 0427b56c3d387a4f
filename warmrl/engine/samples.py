"""The one store of generated answers: blocks that are written once and never changed. No torch.

A folder holds the answers that one policy gave to one suite under one way of drawing. A block is a file
`block-HASH.jsonl` with a row an answer, and beside it, under the same hash, `tokens-HASH.safetensors` (ids and what is
known of each token), `NAME-HASH.safetensors` for numbers that a metric asked for later, and `grades-HASH-KEY.jsonl`, a
row an answer, for each grader. More samples, problems or graders add files.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from warmrl.domain.errors import StorageError
from warmrl.engine.storage import canonical, write_text
from warmrl.engine.suites import Suite

Kind = Literal["greedy", "sampled"]
DESCRIPTION = "sampling.json"
Cell = tuple[str, int, int]
"""Problem id, and its answers from one index up to another."""


@dataclass(frozen=True)
class Draws:
    """Answers that are wanted of every problem of a suite: where they are kept, how many, and how they are drawn."""

    kind: Kind
    folder: Path
    count: int
    temperature: float
    top_p: float
    max_tokens: int
    seed: int
    block_size: int
    extras: frozenset[str] = frozenset()
    """Per-token numbers beyond log-probability and entropy that a metric reads."""


@dataclass(frozen=True)
class Block:
    """One finished block."""

    file: Path

    @property
    def hash(self) -> str:
        """Its name."""
        return self.file.stem.removeprefix("block-")

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """A row an answer: `problem`, `prompt`, `index`, `completion`, `finish`, `tokens`, `entropy`, `surprisal`."""
        return read_rows(self.file)

    def tokens(self) -> Path:
        """Where ids and the numbers of each token are."""
        return self.file.with_name(f"tokens-{self.hash}.safetensors")

    def added(self, name: str) -> Path:
        """Where a number of each token is that was asked for later."""
        return self.file.with_name(f"{name}-{self.hash}.safetensors")

    def grades(self, key: str) -> Path:
        """Where a grader's verdicts are."""
        return self.file.with_name(f"grades-{self.hash}-{key}.jsonl")

    def graded(self, key: str) -> list[dict[str, Any]]:
        """A grader's verdicts, one for each row."""
        return read_rows(self.grades(key))

    def sums(self, name: str) -> list[float | None]:
        """The sum of a per-token number over each answer; None where it was never made."""
        if not self.added(name).exists():
            return [None] * len(self.rows)
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            values, at = load_file(self.added(name))[name].astype(float), 0
        except (SafetensorError, KeyError) as error:
            raise StorageError(
                f"{self.added(name)} is damaged ({error}); remove it, and the same command makes it again."
            ) from None
        out: list[float | None] = []
        for row in self.rows:
            total = float(values[at : at + row["tokens"]].sum())
            out.append(None if math.isnan(total) else total)
            at += row["tokens"]
        return out

    def lacks(self, name: str, suite: Suite) -> bool:
        """Whether a number of an answer that the suite wants was not made; of other problems' none can be."""
        wanted = (suite.prompts.get(row["problem"]) == row["prompt"] for row in self.rows)
        return any(want and one is None for want, one in zip(wanted, self.sums(name), strict=True))


def blocks(folder: Path) -> list[Block]:
    """The finished blocks of a folder, by name."""
    return [Block(file) for file in sorted(folder.glob("block-*.jsonl"))]


def there(folder: Path) -> dict[tuple[str, str], set[int]]:
    """The indices of the answers that are there, by problem id and prompt."""
    found: dict[tuple[str, str], set[int]] = {}
    for block in blocks(folder):
        for row in block.rows:
            found.setdefault((row["problem"], row["prompt"]), set()).add(row["index"])
    return found


def gaps(name: str, have: set[int], count: int) -> Iterator[Cell]:
    """Runs of indices below `count` that a problem lacks: a block that was removed leaves one before the others."""
    start = None
    for index in range(count + 1):
        lacks = index < count and index not in have
        if lacks and start is None:
            start = index
        elif not lacks and start is not None:
            yield name, start, index
            start = None


def missing(draws: Draws, suite: Suite) -> list[list[Cell]]:
    """What has still to be drawn, in fixed blocks of problems; a block of which nothing is missing is left out."""
    kept, names = there(draws.folder), list(suite.problems)
    out = []
    for start in range(0, len(names), draws.block_size):
        own = names[start : start + draws.block_size]
        have = {name: kept.get((name, suite.prompts[name]), set()) for name in own}
        if cells := [cell for name in own for cell in gaps(name, have[name], draws.count)]:
            out.append(cells)
    return out


def incomplete(draws: Draws, suite: Suite) -> bool:
    """Whether an answer is missing, or a number of its tokens that a metric reads and that can be had."""
    return bool(missing(draws, suite) or lacking_extras(draws, suite))


def lacking_extras(draws: Draws, suite: Suite) -> list[Block]:
    """The blocks with tokens' ids that lack a number which a metric reads, of an answer that the suite still wants."""
    return [
        block
        for block in blocks(draws.folder)
        if block.tokens().exists() and any(block.lacks(name, suite) for name in draws.extras)
    ]


def block_for(folder: Path, cells: Iterable[Cell], prompts: Mapping[str, str]) -> Block:
    """The block that holds these answers: its name says which, so that a killed evaluation finds it again."""
    named = canonical([[name, prompts[name], start, end] for name, start, end in cells])
    return Block(folder / f"block-{hashlib.sha256(named.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}.jsonl")


def read_rows(file: Path) -> list[dict[str, Any]]:
    """The rows of a finished file. Raises `StorageError` when it is not what was written."""
    try:
        return [json.loads(line) for line in file.read_bytes().splitlines()]
    except ValueError as error:
        raise StorageError(
            f"{file} is damaged ({error}); remove it, and the same command makes what was in it again."
        ) from None


def write_rows(file: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """A file of rows, in one step. Lone surrogates, which a tokenizer may make, are escaped."""
    write_text(file, "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows))


def answers(draws: Draws, suite: Suite) -> Iterator[tuple[Block, int, dict[str, Any]]]:
    """Block, place and row of every answer that is wanted and there, in no order that means anything."""
    for block in blocks(draws.folder):
        for place, row in enumerate(block.rows):
            if row["index"] < draws.count and suite.prompts.get(row["problem"]) == row["prompt"]:
                yield block, place, row
