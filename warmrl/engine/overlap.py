"""Contamination: which problems of a suite are in the training data, by text, by 13 words in a row, by picture."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from warmrl.domain.problem import Image, Problem, Text
from warmrl.engine import image_match

Kind = Literal["text", "ngram", "image"]
KINDS: tuple[Kind, ...] = ("text", "ngram", "image")
N = 13
"""Words of an n-gram, as Brown et al. 2020 (arXiv:2005.14165, appendix C) take."""
COMMON = 10
"""Problems of one set in which an n-gram may stand, or a twentieth of the set and at least 2 where that is less: what
stands in more is an instruction or a template."""
TELLING = 6
"""Words from which a text that differs from a template in numbers and labels alone is one question and no other."""
TOKEN = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+|[^\w\s.,;:!?\"'`$]")


@dataclass(frozen=True)
class Match:
    """A problem of a suite, a problem of the training data that it overlaps with, and in what."""

    problem: str
    kind: Kind
    training: str


@dataclass(frozen=True)
class Overlap:
    """What a suite and training data share: a match per problem and kind, in the suite's order."""

    problems: int
    training: int
    matches: tuple[Match, ...]

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """The problems that overlap, in the suite's order: those to score without."""
        return tuple(dict.fromkeys(match.problem for match in self.matches))

    @property
    def counts(self) -> dict[Kind, int]:
        """How many problems of the suite overlap, by kind."""
        return {kind: sum(match.kind == kind for match in self.matches) for kind in KINDS}

    def as_json(self) -> dict[str, Any]:
        """For a report or `--json`."""
        return {
            "problems": self.problems,
            "training": self.training,
            "overlapping": len(self.ids),
            "counts": self.counts,
            "matches": [asdict(match) for match in self.matches],
        }


@dataclass(frozen=True)
class Asked:
    """What a problem asks: its id, the tokens of its text as written, and the keys of its pictures."""

    id: str
    tokens: tuple[str, ...]
    pictures: tuple[str, ...]

    @cached_property
    def text(self) -> str:
        """Equal where the texts are, but for case, spacing and punctuation."""
        return " ".join(self.tokens).casefold()

    @cached_property
    def skeleton(self) -> str:
        """The text without its numbers and the labels of points and angles."""
        return " ".join(masked(token) for token in self.tokens)

    @cached_property
    def words(self) -> list[str]:
        """The words and numbers."""
        return [token.casefold() for token in self.tokens if token.isalnum() or token[0].isdigit()]

    def ngrams(self) -> Iterator[tuple[str, str]]:
        """Every 13 words in a row, and the same without numbers."""
        bare = ["#" if word[0].isdigit() else word for word in self.words]
        for start in range(len(bare) - N + 1):
            yield " ".join(self.words[start : start + N]), " ".join(bare[start : start + N])


def asked(problem: Problem) -> Asked:
    """What a problem asks: the text of its user's turns."""
    parts = [part for message in problem.messages if message.role == "user" for part in message.parts]
    text = " ".join(part.text for part in parts if isinstance(part, Text))
    tokens = TOKEN.findall(unicodedata.normalize("NFKC", text))
    return Asked(problem.id, tuple(tokens), tuple(image.key for image in problem.images))


def masked(token: str) -> str:
    """`#` for a number, `@` for a label (one letter, or up to four capitals), else the token."""
    if token[0].isdigit():
        return "#"
    label = token.isalpha() and (len(token) == 1 or (len(token) <= 4 and token.isupper()))
    return "@" if label else token.casefold()


def overlap(training: Sequence[Problem], suite: Sequence[Problem], cache: Path | None = None) -> Overlap:
    """Find the problems of `suite` that are in `training`.

    A problem overlaps by `text` (the same question), else by `ngram` (13 words in a row that are no boilerplate), and
    by `image` (a picture that is a copy, however encoded and sized). Each match names the first training problem of
    its kind. `cache` is a JSON file for thumbnails. Raises `DataError` for a picture that cannot be opened.
    """
    ours, theirs = [asked(one) for one in suite], [asked(one) for one in training]
    pictures = by_picture(training, suite, theirs, cache)
    texts = by_text(theirs, ours)
    grams = by_ngram(theirs, ours)
    matches = []
    for one in ours:
        if one.id in texts:
            matches.append(Match(one.id, "text", texts[one.id]))
        elif one.id in grams:
            matches.append(Match(one.id, "ngram", grams[one.id]))
        same = next((pictures[key] for key in one.pictures if key in pictures), None)
        if same is not None:
            matches.append(Match(one.id, "image", same))
    return Overlap(len(ours), len(theirs), tuple(matches))


def by_text(training: Sequence[Asked], suite: Sequence[Asked]) -> dict[str, str]:
    """Problem -> the first training problem with the same text.

    Where a problem has pictures, a text that stands beside different ones within either set is a template ("Find x.")
    and says nothing; nor does a short text that differs from a template in numbers and labels alone ("Find AB.").
    """
    first: dict[str, str] = {}
    for one in training:
        first.setdefault(one.text, one.id)
    texts = templates((one.text, one) for one in training) | templates((one.text, one) for one in suite)
    bare = templates((one.skeleton, one) for one in training) | templates((one.skeleton, one) for one in suite)

    def tells(one: Asked) -> bool:
        return not one.pictures or (one.text not in texts and (len(one.words) >= TELLING or one.skeleton not in bare))

    return {one.id: first[one.text] for one in suite if one.text and one.text in first and tells(one)}


def templates(texts: Iterable[tuple[str, Asked]]) -> set[str]:
    """Texts of a set that stand beside different pictures."""
    beside: dict[str, tuple[str, ...]] = {}
    return {text for text, one in texts if beside.setdefault(text, one.pictures) != one.pictures}


def by_ngram(training: Sequence[Asked], suite: Sequence[Asked]) -> dict[str, str]:
    """Problem -> the first training problem that shares 13 words in a row which are common in neither set."""
    holders: dict[str, list[int]] = defaultdict(list)
    ours: Counter[str] = Counter()
    for place, one in enumerate(suite):
        grams = dict(one.ngrams())
        ours.update(set(grams.values()))
        for gram in grams:
            holders[gram].append(place)
    theirs: Counter[str] = Counter()
    shared: dict[str, tuple[str, str]] = {}
    for one in training:
        grams = dict(one.ngrams()) if holders else {}
        theirs.update(bare for bare in set(grams.values()) if bare in ours)
        for gram, bare in grams.items():
            if gram in holders:
                shared.setdefault(gram, (bare, one.id))
    most = [min(COMMON, max(2, len(problems) // 20)) for problems in (suite, training)]
    place_of = {one.id: place for place, one in enumerate(training)}
    found: dict[str, str] = {}
    for gram, (bare, there) in shared.items():
        if ours[bare] <= most[0] and theirs[bare] <= most[1]:
            for place in holders[gram]:
                known = found.setdefault(suite[place].id, there)
                if place_of[there] < place_of[known]:
                    found[suite[place].id] = there
    return found


def by_picture(
    training: Sequence[Problem], suite: Sequence[Problem], theirs: Sequence[Asked], cache: Path | None
) -> Mapping[str, str]:
    """Key of a suite's picture -> the first training problem that has a copy of it."""
    holder: dict[str, str] = {}
    for one in theirs:
        for key in one.pictures:
            holder.setdefault(key, one.id)
    found = image_match.find(pictures_of(suite), pictures_of(training), cache)
    return {key: holder[there] for key, there in found.items()}


def pictures_of(problems: Sequence[Problem]) -> dict[str, Image]:
    """Every picture by its key."""
    return {image.key: image for problem in problems for image in problem.images}
