"""Equality by math-verify: what grading processes run for `math`. Imports nothing heavy before it is called."""

from __future__ import annotations

WARM_UP = [("6\\sqrt{2}", "\\sqrt{72}"), ("\\frac{9\\pi}{2}", "4.5\\pi"), ("x^2+2x", "x(x+2)"), ("\\{1,2\\}", "(1,3]")]
ADVICE = "Install math-verify[antlr4_13_2] beside warmrl."


def equal(gold: str, answer: str) -> bool:
    """Whether math-verify finds the answer equal to the gold. Both are read as LaTeX alone: no text is evaluated.

    Both are wrapped in `$`: bare, math-verify reads `6\\sqrt{2}` as 6.
    """
    from math_verify import LatexExtractionConfig, parse, verify

    def read(text: str) -> list[object]:
        return parse(f"${text}$", [LatexExtractionConfig()], parsing_timeout=None)

    return bool(verify(read(gold), read(answer), timeout_seconds=None))
