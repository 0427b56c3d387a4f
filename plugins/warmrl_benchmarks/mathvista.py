"""The grader `mathvista`: MathVista's official score of a completion, or of an extraction that is stored."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from warmrl.api import Grade, Problem, Reward
from warmrl_benchmarks.config import MathVistaConfig
from warmrl_benchmarks.mathvista_prompt import extraction_problem
from warmrl_benchmarks.mathvista_rules import extract, quick
from warmrl_benchmarks.mathvista_scoring import Question


class MathVista(Reward[MathVistaConfig]):
    r"""1.0 when an answer is right by MathVista's official rules, else 0.0.

    Two steps, as officially. *Extraction*: what the answer style finds in the completion (all of it under `free`, a
    box under `boxed`; where it finds nothing, all of it), then the official quick paths, then rules
    (`mathvista_rules`) or, with `extractor`, a language model at temperature 0, asked once for each text. *Scoring*
    (`mathvista_scoring`): a choice's letter or the nearest choice, a whole number cut, a decimal rounded to the
    precision, and equality with the answer. Officially no extraction is an empty one, and so still some choice.

    `Problem.extra` holds the dataset's columns `question_type`, `answer_type`, `choices`, `precision` and `answer`
    (or else the gold is it; the letter of a choice will do), and `query`, which the extractor is shown. Where it
    holds `extraction`, that is scored as it is, whatever the completion says. Raises `DataError` for a problem whose
    columns are not MathVista's; `ServiceError` when the extractor does not answer.
    """

    def score(self, problem: Problem, completions: Sequence[str]) -> list[float]:
        """1.0 or 0.0 for each completion, in order. Works in any thread."""
        return [one.score for one in self.grade(problem, completions)]

    def grade(self, problem: Problem, completions: Sequence[str]) -> list[Grade]:
        """The verdict, what was extracted, and as canonical form the choice's text or the number."""
        question = Question.of({"gold": problem.gold, **problem.extra}, f"Problem `{problem.id}`")
        if question.answer not in question.choices:
            question = question.by_letter()
        if "extraction" in problem.extra:
            return [self._graded(question, problem.extra["extraction"])] * len(completions)
        return [self._graded(question, one) for one in self._extractions(problem, question, completions)]

    def _extractions(self, problem: Problem, question: Question, completions: Sequence[str]) -> list[str]:
        """What was found in each completion; empty where nothing was."""
        texts = [self.style.extract(one) or one for one in completions]
        if self.config.extractor is None:
            return [extract(text, question) or "" for text in texts]
        found = {text: "" if not text.strip() else quick(text, question) for text in texts}
        open_ones = [text for text, answer in found.items() if answer is None]
        if open_ones:
            query = str(problem.extra.get("query") or problem.extra.get("question") or "")
            asked = [extraction_problem(query, text) for text in open_ones]
            replies = self._extractor.generate(asked, 1, temperature=0.0, max_tokens=self.config.max_tokens)
            found |= {text: reply[0].text.strip() for text, reply in zip(open_ones, replies, strict=True)}
        return [found[text] or "" for text in texts]

    @cached_property
    def _extractor(self) -> Any:
        """The language model, opened when it is first needed."""
        assert self.config.extractor is not None
        return self.opens(self.config.extractor)

    def _graded(self, question: Question, extraction: Any) -> Grade:
        prediction = question.strict_prediction(extraction) if self.config.strict else question.prediction(extraction)
        right = prediction is not None and prediction == question.answer
        said = None if extraction is None else str(extraction).strip() or None
        canonical = self.canonical(prediction) if said and prediction is not None else None
        return Grade(float(right), said, canonical, "right" if right else "no answer" if canonical is None else "wrong")

    def close(self) -> None:
        """Close the extractor's connections."""
        if "_extractor" in self.__dict__:
            self._extractor.release()
            del self.__dict__["_extractor"]
