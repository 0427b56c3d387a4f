"""One problem on its way through the pipeline, and what each step makes of a writer's text."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, replace

from warmrl.api import AnswerStyle, Problem, Text

# Reasoning, then an answer. Some servers leave the opening tag to the prompt.
TRACE = re.compile(r"\s*(?:<think>)?(.*?)</think>(.*)", re.DOTALL)


@dataclass(frozen=True)
class Item:
    """A problem with what was written for it so far: `trace` is reasoning and answer as their writer put them."""

    problem: Problem
    caption: str = ""
    trace: str = ""

    @property
    def context(self) -> str:
        """What the data says beside the question."""
        return brought(self.problem, "context")

    @property
    def question(self) -> str:
        """The text of the prompt."""
        return "\n".join(part.text for one in self.problem.messages for part in one.parts if isinstance(part, Text))

    @property
    def parts(self) -> tuple[str, str]:
        """Reasoning and answer, both empty where the trace has not both."""
        found = TRACE.fullmatch(self.trace)
        reasoning, answer = (one.strip() for one in found.groups()) if found else ("", "")
        return (reasoning, answer) if reasoning and answer else ("", "")

    def captioned(self, text: str) -> Item | str:
        """With a caption; why not, where there is none."""
        caption = after_reasoning(text)
        return replace(self, caption=caption) if caption else "empty caption"

    def reasoned(self, text: str, style: AnswerStyle) -> Item | str:
        """With a trace that the answer style can hold."""
        made = replace(self, trace=text.strip())
        if made.parts == ("", ""):
            return "no reasoning in <think> with an answer after it"
        return made if style.well_formed(style.wrap(*made.parts)) else "not in the form of the answer style"

    def rewritten(self, text: str, style: AnswerStyle, word_gap: int) -> Item | str:
        """With the rewritten trace, when it is about as long."""
        if abs(len(text.split()) - len(self.trace.split())) > word_gap:
            return f"length changed by more than {word_gap} words"
        return self.reasoned(text, style)

    def verified(self, text: str) -> Item | str:
        """Itself, when the verifier says yes."""
        said = after_reasoning(text).strip("\"'`*_.,;:!?()[] \n").lower()
        return self if said == "yes" else "wrong answer" if said == "no" else "neither yes nor no"


def after_reasoning(text: str) -> str:
    """What a writer says once it has thought."""
    return text.rpartition("</think>")[2].strip()


def brought(problem: Problem, column: str) -> str:
    """Text that the data has for a problem beside its question; empty where it has none."""
    found = problem.extra.get(column)
    return found.strip() if isinstance(found, str) else ""


def has_any(text: str, words: Collection[str]) -> bool:
    """Whether one of the words is anywhere in the text, in any case, even inside a longer word."""
    lowered = text.lower()
    return any(word.lower() in lowered for word in words)
