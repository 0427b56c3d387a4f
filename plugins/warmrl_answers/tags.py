"""The style `tags`: `<think>reasoning</think><answer>answer</answer>`."""

from __future__ import annotations

import re
from itertools import islice

from warmrl.api import AnswerStyle
from warmrl_answers.config import TagsConfig

# Possessive repeats (`*+`) never give back what they took, so no text makes this pattern slow.
TAG = re.compile(r"<\s*+(/?)\s*+(think|answer)\s*+>")
FORM = ["think", "/think", "answer", "/answer"]


class Tags(AnswerStyle[TagsConfig]):
    """The answer is what the last `<answer>…</answer>` holds. Every method takes time linear in the text.

    Spaces inside and around the tags are allowed: a tokenizer of whole tags decodes `< answer > 35 </ answer >`.
    """

    def instruction(self) -> str:
        """The configured instruction."""
        return self.config.instruction

    def extract(self, completion: str) -> str | None:
        """What the last closed `<answer>…</answer>` holds; None when there is none or it is empty."""
        opened, answer = None, None
        for tag in TAG.finditer(completion):
            if tag[2] == "answer":
                if not tag[1]:
                    opened = tag.end()
                elif opened is not None:
                    answer, opened = (opened, tag.start()), None
        return completion[slice(*answer)].strip() or None if answer else None

    def well_formed(self, completion: str) -> bool:
        """Whether each of the four tags appears once, in order, with nothing outside them and an answer inside."""
        found = list(islice(TAG.finditer(completion), len(FORM) + 1))
        if [tag[1] + tag[2] for tag in found] != FORM:
            return False
        think, end_think, answer, end_answer = found
        outside = (
            completion[: think.start()],
            completion[end_think.end() : answer.start()],
            completion[end_answer.end() :],
        )
        inside = completion[answer.end() : end_answer.start()]
        return bool(inside.strip()) and not any(text.strip() for text in outside)

    def wrap(self, reasoning: str, answer: str) -> str:
        """`<think> reasoning </think> <answer> answer </answer>`."""
        return f"<think> {reasoning} </think> <answer> {answer} </answer>"
