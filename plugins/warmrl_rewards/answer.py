"""One spelling for answers that say the same thing in other characters: what both sides are brought to first."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

COMMANDS = "leq geq neq pm cup cap in parallel perp triangle".split()
CHARACTERS: dict[int, str] = str.maketrans(
    {
        **dict.fromkeys("\u2212\u2013\u2014\u2010\u2011\u2012\ufe63", "-"),
        **dict.fromkeys("\u00a0\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u3000", " "),
        **dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff€£¥", ""),
        **dict.fromkeys("⋅·∙", "\\cdot "),
        **dict.fromkeys("\u2215\u2044\u00f7", "/"),
        **dict.fromkeys("°˚º", "^\\circ "),
        **dict.fromkeys("≈≃≅", "\\approx "),
        **{raised: f"^{{{digit}}}" for digit, raised in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")},
        **{one: f"\\frac{{{top}}}{{{low}}}" for one, top, low in ("½12", "⅓13", "⅔23", "¼14", "¾34", "⅕15", "⅛18")},
        **{chr(0xFF01 + i): chr(0x21 + i) for i in range(94)},
        "\u00d7": "\\times ",
        "π": "\\pi ",
        "√": "\\sqrt ",
        **{sign: f"\\{name} " for sign, name in zip("≤≥≠±∪∩∈∥⊥△", COMMANDS, strict=True)},
        "∞": "\\infty ",
        "∠": "\\angle ",
    }
)
# In order. No pattern repeats inside a repeat, and texts are short (`LONGEST` of math.py).
REWRITES = [
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"(?<=\^\{[0-9])\}\^\{(?=[0-9])", ""),
        (r"\\(?:left|right)\.", ""),
        (r"\\(?:left|right|[bB]igg?[lr]?|displaystyle|textstyle|quad|qquad)(?![A-Za-z])|\\[,;:!> ]", " "),
        (r"\{,\}", ","),
        (r"\\\$|\$|\\[()\[\]]", ""),
        (r"~", " "),
        (r"\\%|\\text\s*\{\s*\\?%\s*\}", "%"),
        (r"\\[dtc]frac(?![A-Za-z])", r"\\frac"),
        (r"\\(le|ge|ne)(?:qslant|qq)?(?![A-Za-z])", r"\\\1q"),
        (r"\\lt(?![A-Za-z])", "<"),
        (r"\\gt(?![A-Za-z])", ">"),
        (r"\^\s*\{?\s*\\(?:circ|degrees?)(?![A-Za-z])\s*\}?|\\degrees?(?![A-Za-z])", " degrees "),
        (r"\\(?:text|textrm|textbf|textit|textnormal|mathrm|mathbf|mathit|mbox|rm)\s*\{([^{}]*)\}", r" \1 "),
        (r"(?<![A-Za-z\\])pi(?![A-Za-z])", r"\\pi "),
        (r"(?<![A-Za-z\\])sqrt(?=[\s(])", r"\\sqrt"),
        (r"\\sqrt\s*\(([^(){}]*)\)", r"\\sqrt{\1}"),
        (r"\\sqrt\s*([0-9]+|[A-Za-z](?![A-Za-z]))", r"\\sqrt{\1}"),
        (r"\\frac\s*([0-9])\s*([0-9])", r"\\frac{\1}{\2}"),
        (r"\\frac\s*([0-9])\s*\{", r"\\frac{\1}{"),
        (r"(\\frac\{[^{}]*\})\s*([0-9])", r"\1{\2}"),
        (r"\s+", " "),
    )
]
UNITS = {
    spelling: unit
    for unit, spellings in {
        "%": "% percent",
        "degree": "degrees degree deg",
        "": "units unit",
        "mm": "mm millimeters millimeter millimetres millimetre",
        "cm": "cm centimeters centimeter centimetres centimetre",
        "m": "m meters meter metres metre",
        "km": "km kilometers kilometer kilometres kilometre",
        "in": "in inches inch",
        "ft": "ft feet foot",
        "yd": "yd yards yard",
        "mi": "mi miles mile",
        "g": "g grams gram",
        "kg": "kg kilograms kilogram",
        "s": "s sec seconds second",
        "min": "min minutes minute",
        "h": "h hr hours hour",
        "l": "L l liters liter litres litre",
        "dollar": "dollars dollar USD",
        "cent": "cents cent",
    }.items()
    for spelling in spellings.split()
}
# A unit of one letter needs a space before it: `5m` may be five times m.
UNIT = re.compile(
    r"(.*(?:[0-9}).]|\\pi))(?:\s*(?=%|[A-Za-z]{2})|\s)\s*(?:(?:(sq|square|cubic)\.? )?("
    + "|".join(sorted(map(re.escape, UNITS), key=len, reverse=True))
    + r")(?![A-Za-z])\s*(?:\^?\s*\{?\s*([23])\s*\}?)?)\s*\.?"
)
ASSIGNED = re.compile(r"[A-Za-z\\ _'{}]*(?:(?:_\{?|\\angle ?)[0-9]\}?)? ?(?:\([A-Za-z]\))? ?")
THOUSANDS = re.compile(r"([+-]?)\s*([0-9]{1,3}(?:(?:,[0-9]{3})+|(?: [0-9]{3})+))(\.[0-9]+)?")
BOX = re.compile(r"\\(?:boxed|fbox)\s*\{(.*)\}", re.DOTALL)
# Every space but those between two digits or two letters.
IDLE = re.compile(r" (?![0-9A-Za-z])|(?<![0-9A-Za-z]) |(?<=[0-9]) (?=[A-Za-z])|(?<=[A-Za-z]) (?=[0-9])")
PLAIN = re.compile(r"-?[0-9]{1,40}(?:\.[0-9]{1,40})?")
WORDS = re.compile(r"[A-Za-z]{2,}(?:[ -][A-Za-z]+)*")


@dataclass(frozen=True)
class Answer:
    """An answer in one spelling, and its unit ("" when none is said)."""

    text: str
    unit: str = ""

    @property
    def key(self) -> str:
        """Equal for texts that differ in idle spaces alone, or words that differ in case."""
        if WORDS.fullmatch(self.text):
            return self.text.casefold()
        return IDLE.sub("", self.text)


@lru_cache(maxsize=4096)
def normalise(raw: str) -> Answer:
    """Bring an answer to one spelling. See `Math` for what is done; the result may be empty."""
    if PLAIN.fullmatch(raw):
        return Answer(raw)
    text = raw.translate(CHARACTERS).strip()
    if boxed := BOX.fullmatch(text):
        text = boxed[1]
    for pattern, replacement in REWRITES:
        text = pattern.sub(replacement, text)
    text = text.strip().removesuffix(".").strip()
    text, unit = split_unit(text)
    if found := THOUSANDS.fullmatch(text):
        text = found[1] + re.sub("[, ]", "", found[2]) + (found[3] or "")
    return Answer(text.removeprefix("+").strip(), unit)


def split_unit(text: str) -> tuple[str, str]:
    """The text without a unit at its end, and the unit's one name (`cm^2`)."""
    found = UNIT.fullmatch(text)
    if not found or not re.search(r"[0-9]|\\pi", found[1]):
        return text, ""
    value, word, spelling, power = found.groups()
    if word:
        power = "3" if word == "cubic" else "2"
    unit = UNITS[spelling]
    return value.strip(), f"{unit}^{power}" if unit and power else unit


def without_name(answer: Answer, other: Answer) -> Answer:
    r"""`x = 5` as 5, `m\angle A = 120` as 120, `6\sqrt{2} \approx 8.49` as `6\sqrt{2}`, `x \approx 8.49` as 8.49.

    What is left of one `=` goes when it is a name and the other side is no equation. What is right of an
    approximation sign goes when a number is left of it.
    """
    text = answer.text
    left, approx, right = text.partition("\\approx")
    if approx and "\\approx" not in right:
        text = left if re.search(r"[0-9]", left) else right
    left, equals, right = text.partition("=")
    if equals and "=" not in right and "=" not in other.text and ASSIGNED.fullmatch(left) and right.strip():
        text = right
    return normalise(text + (f" {answer.unit}" if answer.unit else "")) if text != answer.text else answer
