"""The contract of answer styles."""

from __future__ import annotations

import time
from typing import Any, ClassVar

import pytest

from warmrl.domain.answer import AnswerStyle
from warmrl.testing.hostile import hostile_texts
from warmrl.testing.plugin import PluginContract


class AnswerStyleContract(PluginContract):
    """Extraction finds what `wrap` put in, no text is an error, and time is linear in the text."""

    kind: ClassVar[str] = "answer style"
    base: ClassVar[type] = AnswerStyle
    answers: ClassVar[tuple[str, ...]] = ("42", "-3.5", "\\frac{3}{4}", "6\\sqrt{2}", "(1, 2)", "A")
    """Answers that the style can carry."""
    marked: ClassVar[bool] = True
    """Whether something marks the answer; not in a style that takes the whole completion for it."""
    seconds: ClassVar[float] = 1.0
    """Longest time for one hostile text of a megabyte."""

    def style(self) -> Any:
        """The style under test."""
        return self.registration().load()(self.config())

    def test_instruction_is_text(self) -> None:
        assert isinstance(self.style().instruction(), str)

    def test_extract_finds_what_wrap_put_in(self) -> None:
        style = self.style()
        for answer in self.answers:
            for reasoning in ("", "some reasoning", "two\nlines"):
                assert style.extract(style.wrap(reasoning, answer)) == answer
                assert style.well_formed(style.wrap(reasoning, answer))

    def test_the_last_answer_counts(self) -> None:
        style = self.style()
        if not self.marked:
            pytest.skip("the whole completion is one answer")
        first, last = self.answers[:2]
        assert style.extract(style.wrap("", first) + "\n" + style.wrap("", last)) == last

    def test_plain_text_has_no_form(self) -> None:
        style = self.style()
        for text in ("", "   ", *(["I do not know.", "<", "{}", "\\"] if self.marked else [])):
            assert style.extract(text) is None
            assert not style.well_formed(text)

    @pytest.mark.parametrize("name", list(hostile_texts(1)))
    def test_hostile_text_is_survived(self, name: str) -> None:
        style, text = self.style(), hostile_texts()[name]
        start = time.process_time()
        answer, formed = style.extract(text), style.well_formed(text)
        assert time.process_time() - start < self.seconds
        assert answer is None or (isinstance(answer, str) and answer == answer.strip() and answer in text)
        assert isinstance(formed, bool)
        assert (answer, formed) == (style.extract(text), style.well_formed(text))
