r"""The style `boxed`: `<think>reasoning</think>` and a final answer in `\boxed{}`."""

from __future__ import annotations

import re

from warmrl.api import AnswerStyle
from warmrl_answers.config import BoxedConfig

# Possessive repeats (`*+`) never give back what they took, so no text makes these patterns slow.
THINK = re.compile(r"<\s*+think\s*+>")
END_THINK = re.compile(r"<\s*+/\s*+think\s*+>")
BOX = re.compile(r"\\boxed\s*+\{")
BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
LONGEST = 20_000
"""Characters of the longest answer; a box that isn't closed within them holds none."""


class Boxed(AnswerStyle[BoxedConfig]):
    r"""The answer is what the last `\boxed{}` holds. Every method takes time linear in the text."""

    def instruction(self) -> str:
        """The configured instruction."""
        return self.config.instruction

    def extract(self, completion: str) -> str | None:
        r"""What the last `\boxed{` holds, to its matching brace; None when that box is empty or never closed.

        Braces escaped by a backslash (`\{`) don't count. A last box that was cut off hides earlier ones, as in
        EasyR1: the completion didn't finish its answer.
        """
        start = -1
        for found in BOX.finditer(completion):
            start = found.end()
        if start < 0:
            return None
        depth = 1
        for found in BRACE.finditer(completion, start, start + LONGEST):
            depth += {"{": 1, "}": -1}.get(found[0], 0)
            if depth == 0:
                return completion[start : found.start()].strip() or None
        return None

    def well_formed(self, completion: str) -> bool:
        r"""Whether it is `<think>…</think>…\boxed{…}…`, spaces around it and inside the tags allowed.

        The rule of EasyR1 (examples/reward_function/math.py), which lets text follow the box, as in
        `The answer is $\boxed{5}$.`
        """
        text = completion.lstrip()
        opened = THINK.match(text)
        closed = END_THINK.search(text, opened.end()) if opened else None
        box = BOX.search(text, closed.end()) if closed else None
        return box is not None and text.find("}", box.end()) >= 0

    def wrap(self, reasoning: str, answer: str) -> str:
        """`<think>reasoning</think>`, a line break, and the boxed answer."""
        return f"<think>{reasoning}</think>\n\\boxed{{{answer}}}"
