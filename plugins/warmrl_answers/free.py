"""The style `free`: nothing is asked for beside the question, and the whole completion is the answer."""

from __future__ import annotations

from warmrl.api import AnswerStyle
from warmrl_answers.config import FreeConfig


class Free(AnswerStyle[FreeConfig]):
    """For benchmarks whose prompts say how to answer, and whose graders find the answer in the text."""

    def instruction(self) -> str:
        """The configured instruction; none by default."""
        return self.config.instruction

    def extract(self, completion: str) -> str | None:
        """The whole completion, stripped; None when it is empty."""
        return completion.strip() or None

    def well_formed(self, completion: str) -> bool:
        """Whether it is not empty."""
        return bool(completion.strip())

    def wrap(self, reasoning: str, answer: str) -> str:
        """The answer alone: reasoning before it would be part of it."""
        return answer
