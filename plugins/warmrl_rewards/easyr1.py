r"""The reward `geo3k_easyr1`: what EasyR1 gives for Geometry3K, without what hangs it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from warmrl.api import AnswerStyle, Grade, Problem, Reward, Verdict
from warmrl.engine.api import GradingPool
from warmrl_rewards.config import Geo3kEasyR1Config
from warmrl_rewards.prm800k import same

BRACE = re.compile(r"[{}]")
WHOLE = re.compile(r"0|-?[1-9][0-9]{0,14}")
BOX = "\\boxed{"
LONGEST = 10_000
"""Characters of the longest answer that is compared; a longer one is wrong unless it is the gold's own text."""
WARM_UP = [("6\\sqrt{2}", "\\frac{12}{\\sqrt{2}}"), ("9\\pi", "3^2\\pi"), ("x(x+2)", "x^2+2x")]


class Geo3kEasyR1(Reward[Geo3kEasyR1Config]):
    r"""0.9 when mathruler takes the last box for the gold answer, and 0.1 for the form of the whole completion.

    The rules of EasyR1's `examples/reward_function/math.py` (July 2026) and of mathruler 0.1.0 (`prm800k`), oddities
    included: spaces around `<`, `>` and `/` go first; the answer is what the last `\boxed{}` holds; the form is
    `<think>…</think>…\boxed{…}…`, nothing before it. Without a box the answer is what the style finds, so that it
    gives an opinion on any style (with `boxed` that is nothing, and EasyR1's answer "None"). An answer whose
    comparison meets `deadline` or `memory` is wrong.
    """

    def __init__(self, config: Geo3kEasyR1Config, style: AnswerStyle) -> None:
        super().__init__(config, style)
        limits = {"deadline": config.deadline, "memory": config.memory, "workers": config.workers}
        self.pool = GradingPool(same, warm_up=WARM_UP, advice="Install pylatexenc and sympy beside warmrl.", **limits)

    def score(self, problem: Problem, completions: Sequence[str]) -> list[float]:
        """From 0.0 to 1.0 for each completion, in order. Works in any thread."""
        return [grade.score for grade in self.grade(problem, completions)]

    def grade(self, problem: Problem, completions: Sequence[str]) -> list[Grade]:
        """The same in two parts, `accuracy` and `format`; right is what has the first, with the form or without."""
        texts = [unspaced(completion) for completion in completions]
        answers = [
            boxed(text) if BOX in text else self.style.extract(raw)
            for raw, text in zip(completions, texts, strict=True)
        ]
        verdicts = self._verdicts(problem.gold, ["None" if one is None else one for one in answers])
        grades = []
        for text, answer, verdict in zip(texts, answers, verdicts, strict=True):
            form = self.config.format_weight
            parts = {"accuracy": (1 - form) * (verdict == "right"), "format": form * formed(text)}
            said: Verdict = "no answer" if answer is None and verdict == "wrong" else verdict
            canonical = None if answer is None else self.canonical(answer)
            grades.append(Grade(sum(parts.values()), answer, canonical, said, parts))
        return grades

    def _verdicts(self, gold: str, answers: Sequence[str]) -> list[Verdict]:
        known: dict[str, Verdict] = {one: "right" if one == gold else "wrong" for one in answers}
        wrong = [one for one, verdict in known.items() if verdict == "wrong" and len(one) <= LONGEST]
        # Two whole numbers, plainly written, are no work for a process of computer algebra.
        asked = [one for one in wrong if not (WHOLE.fullmatch(gold) and (one == "None" or WHOLE.fullmatch(one)))]
        for answer, outcome in zip(asked, self.pool.map([(gold, one) for one in asked]), strict=True):
            late = outcome.failure == "timed out"
            known[answer] = "right" if outcome.value is True else "timed out" if late else "wrong"
        return [known[one] for one in answers]

    def canonical(self, answer: str) -> str:
        """In lower case, without spaces. Equal to itself again."""
        return "".join(answer.split()).lower()

    def start(self) -> None:
        """Start the grading processes."""
        self.pool.start()

    def close(self) -> None:
        """End the grading processes; a later `score` starts new ones."""
        self.pool.close()


def unspaced(text: str) -> str:
    """Without spaces around `<`, `>` and `/`; EasyR1's `re.sub` in time linear in the text."""
    for sign in "<>/":
        first, *rest = text.split(sign)
        if rest:
            text = sign.join([first.rstrip(), *(one.strip() for one in rest[:-1]), rest[-1].lstrip()])
    return text


def boxed(text: str) -> str | None:
    r"""What the last `\boxed{` holds, to the brace that matches (escaped ones count); None if it isn't closed soon."""
    start = text.rfind(BOX)
    depth = 1
    for found in BRACE.finditer(text, start + len(BOX), start + 2 * LONGEST) if start >= 0 else ():
        depth += 1 if found[0] == "{" else -1
        if depth == 0:
            return text[start + len(BOX) : found.start()].strip()
    return None


def formed(text: str) -> bool:
    r"""Whether it is `<think>…</think>…\boxed{…}…`; EasyR1's pattern in time linear in the text."""
    closed = text.find("</think>", len("<think>")) if text.startswith("<think>") else -1
    box = text.find(BOX, closed) if closed >= 0 else -1
    return box >= 0 and text.find("}", box + len(BOX)) >= 0
