"""The grader `mmmu`: MMMU's official score of a completion, for questions with options and open ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from warmrl.api import DataError, Grade, Problem, Reward
from warmrl_benchmarks.config import MMMUConfig
from warmrl_benchmarks.mmmu_parsing import chosen, keys_of, normal, open_right, parsed

LONGEST = 200_000
"""Characters of the longest response that is read; in a longer one there is no answer."""


class MMMU(Reward[MMMUConfig]):
    """1.0 when an answer is right by MMMU's official rules (`mmmu_parsing`), else 0.0.

    What is read is the whole completion, or what the answer style finds in it, if it finds something shorter. An open
    question is right when a gold stands in a text that may be the answer, or is one of its numbers, rounded to two
    decimals. With `mode = "official_random"` a response that names no option scores the expected value of the official
    draw; its part `drawn` says how much of the score that is.

    `Problem.extra` holds `options` (or `choices`), a list of texts, for a question with options, whose gold is a
    letter; and `answers`, a list of texts, for an open one with several golds. `extraction` in it, a text, is read in
    place of the completion. Raises `DataError` for a problem whose columns are not of this form.
    """

    def score(self, problem: Problem, completions: Sequence[str]) -> list[float]:
        """A number for each completion, in order: 1.0, 0.0, or the expected value of a draw. Works in any thread."""
        return [one.score for one in self.grade(problem, completions)]

    def grade(self, problem: Problem, completions: Sequence[str]) -> list[Grade]:
        """The verdict, and the letter (or the last text that may be the answer) that was read."""
        options = options_of(problem)
        golds = golds_of(problem)
        if isinstance(stored := problem.extra.get("extraction"), str):
            texts = [stored] * len(completions)
        else:
            texts = [self._read(one) for one in completions]
        return [self._choice(golds, options, text) if options else self._open(golds, text) for text in texts]

    def _read(self, completion: str) -> str:
        """What the style finds, or else the completion as it stands: officially, spaces around it may matter."""
        found = self.style.extract(completion)
        return completion if found is None or found == completion.strip() else found

    def _choice(self, golds: list[str], options: dict[str, str], text: str) -> Grade:
        letter = chosen(text, options, self.config.letters) if len(text) <= LONGEST else None
        drawn = 1 / len(options) if letter is None and self.config.mode == "official_random" else 0.0
        parts = {"drawn": drawn} if drawn else {}
        if letter is None:
            return Grade(drawn, None, None, "no answer", parts)
        right = letter in golds
        return Grade(float(right), letter, letter, "right" if right else "wrong", parts)

    def _open(self, golds: list[str], text: str) -> Grade:
        if not text.strip() or len(text) > LONGEST:
            return Grade(0.0, None, None, "no answer")
        right, said = open_right(parsed(text), golds), keys_of(text)[-1].strip()
        if not said and not right:
            return Grade(0.0, None, None, "no answer")
        return Grade(float(right), said, self.canonical(str(normal(said)[0])), "right" if right else "wrong")


def options_of(problem: Problem) -> dict[str, str]:
    """Letters and texts of the options; none for an open question. Raises `DataError`."""
    options: Any = problem.extra.get("options", problem.extra.get("choices"))
    kind = problem.extra.get("question_type", "multiple-choice" if options else "open")
    if kind == "open":
        return {}
    texts = isinstance(options, list | tuple) and all(isinstance(one, str) for one in options)
    if kind not in ("multiple-choice", "multi_choice") or not texts or not 1 <= len(options) <= 26:
        raise DataError(
            f"Problem `{problem.id}`: `question_type` is {kind!r:.40} with the options {options!r:.80}; it is "
            "`open`, or `multiple-choice` with a list of 1 to 26 texts as `options`. Mend the row."
        )
    return {chr(ord("A") + place): one for place, one in enumerate(options)}


def golds_of(problem: Problem) -> list[str]:
    """The right answers. Raises `DataError`."""
    golds: Any = problem.extra.get("answers") or [problem.gold]
    if not isinstance(golds, list | tuple) or not all(isinstance(one, str) for one in golds):
        raise DataError(f"Problem `{problem.id}`: `answers` is {golds!r:.80}; it is a list of texts. Mend the row.")
    return list(golds)
