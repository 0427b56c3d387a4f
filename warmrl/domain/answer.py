"""The answer-style kind: how an answer is asked for, found in a completion, and known to be well formed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, TypeVar

from warmrl.domain.config import Config

C = TypeVar("C", bound=Config)


class AnswerStyle(ABC, Generic[C]):
    """Prompt instruction, answer extraction, well-formedness. Pure functions of text; never raises on any text."""

    def __init__(self, config: C) -> None:
        self.config = config

    @abstractmethod
    def instruction(self) -> str:
        """Text put after the question (empty: nothing is added)."""

    @abstractmethod
    def extract(self, completion: str) -> str | None:
        """The final answer, stripped; None when there is none."""

    @abstractmethod
    def well_formed(self, completion: str) -> bool:
        """Whether the whole completion has the form that the instruction asks for."""

    @abstractmethod
    def wrap(self, reasoning: str, answer: str) -> str:
        """A well-formed completion with this reasoning and answer."""
