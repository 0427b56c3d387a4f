"""The teacher `pocket_writer`: captions, reasoning, rewriting and verdicts on the pocket's figures, from a script."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from warmrl.api import Completion, Problem, Teacher, Text
from warmrl_pocket.charts import KINDS as CHARTS
from warmrl_pocket.config import WriterConfig
from warmrl_pocket.geometry import KINDS as GEOMETRY
from warmrl_pocket.kinds import Figure, generator
from warmrl_pocket.traces import answer_of

KINDS = {**GEOMETRY, **CHARTS}
FIGURE = re.compile(r"labels ([\d and]+) on a figure of kind (\w+)")


class PocketWriter(Teacher[WriterConfig]):
    """Reads what it is asked from the prompt's sections (`## Question`), and the picture from the problem itself."""

    def generate(self, problems: Sequence[Problem], samples: int, **sampling: Any) -> list[list[Completion]]:
        """`samples` texts for each problem; with a tokenless policy's contract, they have no tokens."""
        return [[self.completion(problem, number) for number in range(samples)] for problem in problems]

    def completion(self, problem: Problem, number: int) -> Completion:
        """One text."""
        prompt = "\n".join(part.text for one in problem.messages for part in one.parts if isinstance(part, Text))
        rng = generator(f"{self.config.role}/{problem.id}/{number}/{prompt}")
        writers = {
            "captioner": lambda: self.caption(problem, rng),
            "reasoner": lambda: self.reason(prompt, rng),
            "rewriter": lambda: self.rewrite(section(prompt, "Text"), rng),
            "verifier": lambda: "Yes" if section(prompt, "Answer") == section(prompt, "Right answer") else "No",
        }
        return Completion((), writers[self.config.role](), origin="teacher")

    def caption(self, problem: Problem, rng: np.random.Generator) -> str:
        """The labels in a fixed order, and the kind: a figure's combination (`Problem.cluster`) in words."""
        kind, _, labels = (problem.cluster or "").partition(":")
        if kind not in KINDS or rng.random() < self.config.empty:
            return ""
        return f"labels {' and '.join(labels.split('-'))} on a figure of kind {kind}"

    def reason(self, prompt: str, rng: np.random.Generator) -> str:
        """A calculation from the caption's labels."""
        found = FIGURE.search(section(prompt, "Description"))
        if not found:
            return "the picture is not clear"
        kind, labels = KINDS[found[2]], tuple(map(int, found[1].split(" and ")))
        figure = Figure("", kind, labels)
        working, answer = " . ".join(figure.working), answer_of(figure.working)
        if rng.random() < self.config.wrong:
            slip = str(int(answer) + int(rng.integers(1, 10)))
            working, answer = working.removesuffix(answer) + slip, slip
        if rng.random() < self.config.reflective:
            working = f"{working} so {working}"
        source = "description" if rng.random() < 0.25 else "read"
        reasoning = f"{source} {' and '.join(map(str, labels))} . {working}"
        return (
            f"{reasoning} {answer}" if rng.random() < self.config.untagged else f"<think> {reasoning} </think> {answer}"
        )

    def rewrite(self, text: str, rng: np.random.Generator) -> str:
        """The same, of an image."""
        tail = " of it" * 10 if rng.random() < self.config.verbose else ""
        return text.replace("description", "image") + tail

    def release(self) -> None:
        """There is nothing to give back."""


def section(prompt: str, name: str) -> str:
    """What stands under a heading, up to the next one."""
    found = re.search(rf"^## {name}\n(.*?)(?=\n\n## |\Z)", prompt, re.DOTALL | re.MULTILINE)
    return found[1].strip() if found else ""
