r"""Rules that compare numbers, and numbers written as arithmetic (`\frac{32}{3}`, `3.2 \times 10^2`, `50%`)."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

from warmrl_benchmarks.mega_bench.literals import as_list, literal
from warmrl_benchmarks.mega_bench.texts import simple

LONGEST = 200
"""Characters of the longest arithmetic that is worked out."""
TOLERANCE = 0.01
PI = "3.14"
"""What the official rule takes for pi."""
UNSCORED = -1.0
"""The score of a field that doesn't count."""
TOKEN = re.compile(
    r"\s*(?:(\d+(?:,\d{3})+(?:\.\d+)?|\d+\.?\d*(?:[eE][+-]?\d{1,3})?|\.\d+)|(\\[a-zA-Z]+|\*\*|[-+*/^(){}\u00d7\u00f7]))"
)
IDLE = re.compile(r"\\left|\\right|\\[,;!: ]|\\displaystyle")
SIGNS = {"\\times": "*", "\\cdot": "*", "\u00d7": "*", "\\div": "/", "\u00f7": "/", "**": "^", "{": "(", "}": ")"}


def number_of(value: Any) -> int | float:
    """A number, or the text of one. Raises `ValueError`."""
    found = literal(value) if isinstance(value, str) else value
    if isinstance(found, int | float):
        return found
    raise ValueError("not a number")


def relative(response: Any, gold: str) -> float:
    """1 - |difference| / |gold|, at least 0."""
    wanted = number_of(gold)
    return max(0.0, 1 - abs((number_of(response) - wanted) / wanted))


def within_a_tenth(response: str, gold: str) -> float:
    """1 - 10 |difference|, at least 0."""
    return 1 - min(abs(number_of(literal(response)) - number_of(literal(gold))), 0.1) / 0.1


def angles(response: Any, gold: Any) -> float:
    """1 - the mean difference / 10, at least 0; 0 when there are more or fewer."""
    found, wanted = as_list(response), as_list(gold)
    if len(found) != len(wanted):
        return 0.0
    return 1 - min(sum(abs(one - other) for one, other in zip(found, wanted, strict=True)) / len(wanted), 10) / 10


def positive_count(response: str, gold: str) -> float:
    """Equal whole numbers; where neither is positive the field doesn't count (-1)."""
    found, wanted = literal(response), literal(gold)
    if not isinstance(found, int):
        return 0.0
    return UNSCORED if found <= 0 and wanted <= 0 else float(found == wanted)


def one_number(response: Any, gold: str) -> float:
    """Within 1 % of the gold where both are arithmetic (after an equals sign, if any); else simply equal."""
    sides = [assigned(re.sub(r"\\[()\[\]]", "", str(text))) for text in (response, gold)]
    found, wanted = (amounts(side) for side in sides)
    if found is None or wanted is None:
        return simple(*sides)
    if len(found) != len(wanted):
        return 0.0
    return float(all(map(close, sorted(found), sorted(wanted))))


def boxed_number(response: Any, gold: str) -> float:
    r"""The same for what the first `\boxed{}` of each holds."""
    return one_number(unboxed(str(response)), unboxed(gold))


def unboxed(text: str) -> str:
    r"""What the first `\boxed{}` holds; the text when there is none, or it isn't closed."""
    start = text.find("\\boxed{") + len("\\boxed{")
    level = 1
    for found in re.finditer(r"[{}]", text[start:]) if start >= len("\\boxed{") else ():
        level += 1 if found[0] == "{" else -1
        if level == 0:
            return text[start : start + found.start()]
    return text


def assigned(text: str) -> str:
    """What follows the first equals sign on its line."""
    found = re.search(r"(?:=|≈|\\approx)[ \t]*(\S.*)", text)
    return found[1].strip() if found else text


def close(found: float, wanted: float) -> bool:
    """Within 1 % of the wanted number."""
    return abs(found - wanted) <= abs(wanted) * TOLERANCE


def amounts(text: str) -> list[float] | None:
    """The number that a text is, or the numbers of a list in brackets; None when it is anything else."""
    text = text.strip()
    inside = text[1:-1].split(",") if text.startswith("[") and text.endswith("]") else [text]
    found = [worked_out(part) for part in inside]
    return None if None in found else [number for number in found if number is not None]


def worked_out(text: str) -> float | None:
    """The value of LaTeX arithmetic without roots, names or functions; None when it is anything else."""
    text = without_units(text)
    if not text.strip() or len(text) > LONGEST:
        return None
    try:
        reader = Arithmetic(tokens(IDLE.sub("", text)))
        value = reader.sum()
    except (ValueError, ArithmeticError, RecursionError):
        return None
    done = reader.next is None and isinstance(value, float) and math.isfinite(value)
    return value if done else None


def without_units(text: str) -> str:
    """Pi as 3.14, per cent as hundredths; money and degrees taken off."""
    text = text.replace("\\pi", "π")
    text = re.sub(r"(?<=\d)\s*π", "*" + PI, text).replace("π", PI).replace("\\%", "%").replace("%", "/100")
    for unit in ("$", "¥", "°C", " C", "°", "^\\circ", "^{\\circ}"):
        text = text.replace(unit, "")
    return text


def tokens(text: str) -> Iterator[float | str]:
    """Numbers and signs. Raises `ValueError` for anything else."""
    place, text = 0, text.strip()
    while place < len(text):
        found = TOKEN.match(text, place)
        if not found:
            raise ValueError("not arithmetic")
        yield float(found[1].replace(",", "")) if found[1] else SIGNS.get(found[2], found[2])
        place = found.end()


class Arithmetic:
    """Reads sums, products (also implied, as in `2(3)`), powers, signs, brackets and fractions."""

    def __init__(self, parts: Iterator[float | str]) -> None:
        self._parts = parts
        self.next: float | str | None = next(parts, None)

    def _take(self) -> float | str:
        taken = self.next
        if taken is None:
            raise ValueError("it ends early")
        self.next = next(self._parts, None)
        return taken

    def sum(self) -> float:
        """Terms added and taken away."""
        value = self._product()
        while self.next in ("+", "-"):
            value += self._product() if self._take() == "+" else -self._product()
        return value

    def _product(self) -> float:
        value = self._power()
        while self.next in ("*", "/", "(", "\\frac", "\\dfrac", "\\tfrac"):
            if self.next == "/":
                self._take()
                value /= self._power()
                continue
            if self.next == "*":
                self._take()
            value *= self._power()
        return value

    def _power(self) -> float:
        sign = 1.0
        while self.next in ("+", "-"):
            sign *= 1 if self._take() == "+" else -1
        base = self._atom()
        if self.next == "^":
            self._take()
            base = math.pow(base, self._power())
        return sign * base

    def _atom(self) -> float:
        taken = self._take()
        if isinstance(taken, float):
            return taken
        if taken == "(":
            value = self.sum()
            if self._take() != ")":
                raise ValueError("a bracket isn't closed")
            return value
        if taken in ("\\frac", "\\dfrac", "\\tfrac"):
            return self._atom() / self._atom()
        raise ValueError("not arithmetic")
