r"""Rules that compare LaTeX: equal texts are equal, of others a mathematics library is asked."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from typing import Any

from warmrl_benchmarks.mega_bench.literals import depth
from warmrl_benchmarks.mega_bench.texts import simple

LONGEST = 1000
"""Characters of the longest expression that is compared as mathematics."""
DEEPEST = 20
"""Levels of brackets of the deepest one."""
GREEK = re.compile("[\u0391-\u03a9\u03b1-\u03c9]")
MATHEMATICS = re.compile(r"\$([^$]*)\$")

Same = Callable[[str, str], bool]
"""Whether two LaTeX expressions are equal: (response, gold)."""


def formula(response: Any, gold: Any, same: Same) -> float:
    """Whether two expressions are equal."""
    if not isinstance(response, str) or not isinstance(gold, str):
        return 0.0
    found, wanted = one_spelling(response), one_spelling(gold)
    readable = 0 < len(found.strip()) <= LONGEST and depth(found) <= DEEPEST
    return float(simple(found, wanted) == 1 or (readable and same(found, wanted)))


def text_with_formulas(response: Any, gold: Any, same: Same) -> float:
    """Whether the texts outside `$…$` are simply equal, and the formulas in them, joined, as expressions."""
    if not isinstance(response, str) or not isinstance(gold, str):
        return 0.0
    if simple(outside(response), outside(gold)) != 1:
        return 0.0
    return formula(inside(response), inside(gold), same)


def outside(text: str) -> str:
    """What stands outside of `$…$`, without commas."""
    return "".join(part.strip() for part in MATHEMATICS.split(text)[::2]).replace(",", "")


def inside(text: str) -> str:
    """The formulas in `$…$`, joined, without commas."""
    return " ".join(one.strip() for one in MATHEMATICS.findall(text)).replace(",", "")


def one_spelling(text: str) -> str:
    r"""Greek letters and bars as commands, without the delimiters `\(`, `\[` and `\begin{…}`."""
    apart = unicodedata.normalize("NFD", text.replace("\\bar", "\\overline"))
    barred = re.sub("([^\\W\\d_])\u0304", r"\\overline{\1}", apart).replace("\u0304", "")
    spelled = GREEK.sub(greek, unicodedata.normalize("NFC", barred))
    return re.sub(r"\\(?:begin|end)\{[^{}]*\}(?:\[[^\[\]]*\])?|\\[()\[\]]", "", spelled)


def greek(found: re.Match[str]) -> str:
    """The command of a Greek letter, with the space that ends it."""
    size, _, *name = unicodedata.name(found[0]).split()[1:]
    command = name[-1].lower().replace("lamda", "lambda")
    return f"\\{command.capitalize() if size == 'CAPITAL' else command} "
