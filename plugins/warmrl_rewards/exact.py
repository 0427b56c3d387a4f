"""Numbers compared exactly, without a computer algebra system: rational times square root times power of pi."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

MIXED = re.compile(
    r"([+-]?)\s*([0-9]{1,40})\s*(?:\\frac\{([0-9]{1,40})\}\{([0-9]{1,40})\}|\s([0-9]{1,40})/([0-9]{1,40}))"
)
TOKEN = re.compile(
    r"\s*(?:(?P<power>([0-9]{1,4})\s*\^\s*(?:([0-9])|\{\s*(-?[0-9]{1,2})\s*\}))"
    r"|(?P<number>(?:[0-9]{1,40}(?:\.[0-9]{0,40})?|\.[0-9]{1,40})(?:[eE][+-]?[0-9]{1,2}(?![0-9]))?)"
    r"|(?P<root>\\sqrt\s*\{\s*([0-9]{1,7})\s*\})"
    r"|(?P<word>\\pi(?![A-Za-z])|\\frac|\\cdot(?![A-Za-z])|\\times(?![A-Za-z])|[*/{}+-]))"
)
LONGEST = 200
"""Characters of the longest text that is tried."""


@dataclass(frozen=True)
class Exact:
    """`coefficient * sqrt(radicand) * pi ** pi`, the radicand free of squares: equal numbers are equal objects."""

    coefficient: Fraction
    radicand: int = 1
    pi: int = 0

    @property
    def rational(self) -> bool:
        """Whether it is a ratio of integers."""
        return self.radicand == 1 and self.pi == 0

    def __str__(self) -> str:
        r"""LaTeX with the coefficient in lowest terms (`15/2`, `6\sqrt{2}`, `9\pi`)."""
        root = f"\\sqrt{{{self.radicand}}}" if self.radicand > 1 else ""
        power = f"\\pi^{{{self.pi}}}" if self.pi not in (0, 1) else "\\pi" * self.pi
        unit = {Fraction(1): "", Fraction(-1): "-"} if root or power else {}
        return unit.get(self.coefficient, str(self.coefficient)) + root + power


def product(left: Exact, right: Exact) -> Exact:
    """The product of both."""
    coefficient = left.coefficient * right.coefficient
    if coefficient == 0:
        return Exact(Fraction(0))
    square, radicand = without_squares(left.radicand * right.radicand)
    return Exact(coefficient * square, radicand, left.pi + right.pi)


def inverse(value: Exact) -> Exact:
    """One over it. Raises ZeroDivisionError."""
    return Exact(1 / (value.coefficient * value.radicand), value.radicand, -value.pi)


def without_squares(number: int) -> tuple[int, int]:
    """`(a, b)` with number = a² b and b free of squares, by trial division. Raises ValueError beyond 10^7."""
    if number > 10**7:
        raise ValueError("too large a radicand")
    square, factor = 1, 2
    while factor * factor <= number:
        while number % (factor * factor) == 0:
            number //= factor * factor
            square *= factor
        factor += 1
    return square, number


def exact(text: str) -> Exact | None:
    r"""The number that a normalised answer says, or None when it isn't of this kind (or is suspiciously long).

    Knows integers, decimals, fractions (`3/4`, `\frac{3}{4}`), mixed numbers (`7 1/2`, `7\frac{1}{2}`), powers of
    integers (`10^{3}`), `1.2e2`, square roots of integers, `\pi`, and products and quotients of these.
    """
    if len(text) > LONGEST:
        return None
    try:
        if found := MIXED.fullmatch(text):
            sign, whole, *parts = found.groups()
            top, bottom = (int(part) for part in parts if part is not None)
            return Exact((int(whole) + Fraction(top, bottom)) * (-1 if sign == "-" else 1))
        tokens = tokenise(text)
        value = read_product(tokens)
    except (ValueError, ZeroDivisionError, IndexError):
        return None
    return value if not tokens else None


def tokenise(text: str) -> list[re.Match[str]]:
    """The tokens of `text`, last first, so that they are popped in order. Raises ValueError at anything else."""
    tokens, at = [], 0
    end = len(text.rstrip())
    while at < end:
        found = TOKEN.match(text, at)
        if not found:
            raise ValueError("no number")
        tokens.append(found)
        at = found.end()
    return tokens[::-1]


def read_product(tokens: list[re.Match[str]]) -> Exact:
    """Pop factors up to a closing brace or the end; two plain numbers side by side are no product."""
    value, adjacent, number = Exact(Fraction(1)), False, False
    if tokens and tokens[-1]["word"] in ("+", "-"):
        value = Exact(Fraction(-1 if tokens.pop()["word"] == "-" else 1))
    while tokens and tokens[-1]["word"] != "}":
        operator = tokens.pop()["word"] if tokens[-1]["word"] in ("*", "/", "\\cdot", "\\times") else None
        if operator and not adjacent:
            raise ValueError("an operator without a left side")
        plain = tokens[-1]["number"] is not None or tokens[-1]["power"] is not None
        fraction = tokens[-1]["word"] == "\\frac"
        if number and not operator and (plain or fraction):
            raise ValueError("two numbers side by side")
        factor = read_factor(tokens)
        value = product(value, inverse(factor) if operator == "/" else factor)
        adjacent, number = True, plain
    if not adjacent:
        raise ValueError("nothing to read")
    return value


def read_factor(tokens: list[re.Match[str]]) -> Exact:
    """Pop one factor. Raises ValueError when the next token starts none, IndexError when there is none."""
    token = tokens.pop()
    if token["number"] is not None:
        return Exact(Fraction(token["number"].rstrip(".")))
    if token["power"] is not None:
        return Exact(Fraction(int(token[2])) ** int(token[3] or token[4]))
    if token["root"] is not None:
        square, radicand = without_squares(int(token[7]))
        return Exact(Fraction(square), radicand) if radicand else Exact(Fraction(0))
    if token["word"] == "\\pi":
        return Exact(Fraction(1), 1, 1)
    if token["word"] == "\\frac":
        return product(read_braced(tokens), inverse(read_braced(tokens)))
    raise ValueError("no factor")


def read_braced(tokens: list[re.Match[str]]) -> Exact:
    """Pop `{product}`."""
    if tokens.pop()["word"] != "{":
        raise ValueError("a brace is missing")
    value = read_product(tokens)
    if tokens.pop()["word"] != "}":
        raise ValueError("a brace is missing")
    return value
