"""The dataset kind: problems with stable ids, in splits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Annotated, Generic, TypeVar

from pydantic import Field

from warmrl.domain.config import AnswerChoice, Config, RewardChoice
from warmrl.domain.problem import Problem
from warmrl.domain.stages import NOT_SEMANTIC


class DatasetConfig(Config):
    """Settings of any dataset."""

    split: str = "train"
    """Which split to read."""
    limit: Annotated[int | None, Field(ge=1)] = None
    """Take only the first `limit` problems."""
    grader: Annotated[RewardChoice | None, Field(json_schema_extra=NOT_SEMANTIC)] = None
    """As a suite: what says whether an answer is right; by default the recipe's `[grader]`."""
    second_opinion: Annotated[RewardChoice | None, Field(json_schema_extra=NOT_SEMANTIC)] = None
    """As a suite: another grader, whose verdicts are compared with the first's; by default the recipe's."""
    style: Annotated[AnswerChoice | None, Field(json_schema_extra=NOT_SEMANTIC)] = None
    """As a suite: how an answer is asked for and found; by default the recipe's `[answer]`."""


C = TypeVar("C", bound=DatasetConfig)


class Dataset(ABC, Generic[C]):
    """Problems of one split, in a fixed order. Images are opened lazily by `Image.load`.

    Raises `DataError` (file, row, rule, fix) for what can't be read, from the constructor or `problems`.
    """

    def __init__(self, config: C) -> None:
        self.config = config

    @abstractmethod
    def problems(self) -> Sequence[Problem]:
        """Every problem of the split, after `limit`. Ids are unique and never change between runs."""

    def pinned(self) -> Mapping[str, str]:
        """Settings that were looked up (a branch's commit), for the resolved recipe; fields that no key depends on."""
        return {}

    def notes(self) -> Sequence[str]:
        """What is worth saying with every score: problems left out and why, images replaced; a sentence each."""
        return ()

    @abstractmethod
    def fingerprint(self) -> str:
        """Changes whenever a problem would: a content hash, or a pinned revision with the generator's version."""
