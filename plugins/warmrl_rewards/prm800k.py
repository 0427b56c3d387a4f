r"""The verdicts of mathruler's `grade_answer` (the grader of PRM800K), rule by rule, oddities included; EasyR1's.

Two readings of both answers are compared as text (`as_text`, then `as_expression`); then, part by part, their
difference is simplified by sympy. Written from the rules of mathruler 0.1.0. What is different: nothing is evaluated
as code (see `algebra`), and it runs in a process that is killed at a deadline. Worth knowing of its rules: an integer
gold is met by an integer alone, fractions must be reduced, units and `%` are dropped, an en dash is no minus.
"""

from __future__ import annotations

import re

ENCLOSED = re.compile(r"^\\text\{(.+?)\}$")
# As text: removed or rewritten in this order, before and after what stands right of the number goes.
REWRITTEN = [("\n", ""), ("\\!", ""), ("\\\\", "\\"), ("tfrac", "frac"), ("dfrac", "frac"), ("\\left", "")]
REWRITTEN += [(gone, "") for gone in ("\\right", "^{\\circ}", "^\\circ", "\\$")]
AFTER_UNITS = [("\\%", ""), ("%", ""), (" .", " 0."), ("{.", "{0.")]
# As an expression.
SIGNS = [("\\%", "%"), ("\\$", "$"), ("$", ""), ("%", ""), (" or ", " , "), (" and ", " , ")]
SIGNS += [("million", "*10^6"), ("billion", "*10^9"), ("trillion", "*10^12")]
UNITS = "degree cm centimeter meter mile second minute hour day week month year foot feet inch yard".split()
FIGURES = [("√", "sqrt"), ("π", "pi"), ("∞", "inf"), ("∪", "U"), ("·", "*"), ("×", "*")]
THOUSANDS = re.compile(r"(\d),(\d\d\d)($|\D)")
RATIO = re.compile(r"^-?[0-9]+.?/0*[1-9][0-9]*.?$")
BRACKETS = "()[]"
UNREAD = re.compile(r"\^[{(]|\^[0-9]+\^|\^[0-9][0-9]+")


def same(gold: str, answer: str) -> bool:
    """Whether mathruler takes `answer` for `gold`."""
    if as_text(gold) == as_text(answer):
        return True
    left, right = as_expression(gold), as_expression(answer)
    if left == right or not right:
        return left == right
    golds, answers = parts(left), parts(right)
    if len(golds) != len(answers) or (len(golds) > 1 and (left[0], left[-1]) != (right[0], right[-1])):
        return False
    return all(map(same_part, golds, answers))


def same_part(gold: str, answer: str) -> bool:
    """Fractions must be the same text, an integer meets none but an integer, and a difference must vanish."""
    if RATIO.search(gold) and RATIO.search(answer):
        return gold == answer
    return whole(gold) == whole(answer) and vanishes(f"({gold})-({answer})")


def vanishes(difference: str) -> bool:
    """Whether sympy simplifies it to 0; False when it has over two letters, a power in brackets, or can't be read."""
    letters = {one for one in difference.replace("sqrt", "").replace("frac", "") if one.isalpha()}
    if len(letters) > 2 or UNREAD.search(difference):
        return False
    from sympy import simplify

    from warmrl_rewards.algebra import read

    try:
        return bool(simplify(read(difference)) == 0)
    except MemoryError:
        raise
    except Exception:
        return False


def parts(text: str) -> list[str]:
    """The members of a tuple or interval, or the whole text."""
    text = without_thousands(text)
    inside = text[1:-1]
    if len(text) > 2 and text[0] in BRACKETS and text[-1] in BRACKETS and not any(one in inside for one in BRACKETS):
        return [one.strip() for one in inside.split(",")]
    return [text] if text else []


def whole(text: str) -> bool:
    """Whether it is a number within 1e-7 of an integer."""
    number = number_of(without_thousands(text))
    return number is not None and near_integer(number)


def number_of(text: str) -> float | None:
    """What Python's `float` makes of it."""
    try:
        return float(text)
    except ValueError:
        return None


def near_integer(number: float) -> bool:
    """Whether it is finite and within 1e-7 of an integer."""
    try:
        return abs(number - round(number)) <= 1e-7
    except (OverflowError, ValueError):
        return False


def without_thousands(text: str) -> str:
    """Without the commas of `1,000,000`."""
    while (found := THOUSANDS.sub(r"\1\2\3", text)) != text:
        text = found
    return text


def as_expression(text: str) -> str:
    """Lower case, without spaces, braces, units, `$` and `%`; LaTeX as plain text, integers as digits."""
    if found := ENCLOSED.search(text):
        text = found[1]
    text = replaced(text, SIGNS)
    for unit in UNITS:
        text = re.sub(rf"{unit}(es)?(s)? *(\^[0-9]+)?", "", text)
    text = re.sub(r"\^ *\\circ", "", text)
    if text and text[0] == "{" and text[-1] == "}":
        text = text[1:-1]
    text = re.sub(r",\\! *", "", text)
    number = number_of(text)
    if number is not None and near_integer(number):
        text = str(round(number))
    if "\\" in text:
        text = plain(text)
    text = re.sub("- *", "-", text)
    text = re.sub("([0-9]) +([0-9])", r"\1+\2", text)
    text = text.replace(" ", "").replace("{", "").replace("}", "").lower()
    return str(int(float(text.replace(",", "")))) if whole(text) else text


def plain(text: str) -> str:
    r"""LaTeX as text: `\frac{1}{2}` as 1/2, `6\sqrt{2}` as 6sqrt(2). What can't be read stays."""
    from pylatexenc.latex2text import LatexNodes2Text

    latex = replaced(text, [("\\tfrac", "\\frac"), ("\\dfrac", "\\frac"), ("\\frac", " \\frac")])
    try:
        return replaced(LatexNodes2Text().latex_to_text(latex), FIGURES).strip()
    except MemoryError:
        raise
    except Exception:
        return text


def as_text(answer: str) -> str:
    """One spelling of fractions and roots, without spaces, units, `%`, degrees and `x=`; the text when that fails."""
    answer = answer.strip()
    if found := ENCLOSED.search(answer):
        answer = found[1].strip()
    try:
        return spelled(answer)
    except (IndexError, ValueError):
        return answer


def spelled(text: str) -> str:
    """What `as_text` says. Raises IndexError or ValueError where the rules have no answer."""
    text = replaced(text, REWRITTEN)
    if "\\text{ " in text:
        text, _ = text.split("\\text{ ")
    text = replaced(text, AFTER_UNITS)
    if not text:
        return text
    if text[0] == ".":
        text = "0" + text
    sides = text.split("=")
    if len(sides) == 2 and len(sides[0]) <= 2:
        text = sides[1]
    first, *rest = text.split("\\sqrt")
    text = first + "".join("\\sqrt" + (one if one[0] == "{" else f"{{{one[0]}}}{one[1:]}") for one in rest)
    text = braced(text.replace(" ", ""))
    return ratio("\\frac{1}{2}" if text == "0.5" else text)


def braced(text: str) -> str:
    r"""`\frac12` and `\frac1{2}` as `\frac{1}{2}`; the text itself when a `\frac` has one character after it."""
    first, *rest = text.split("\\frac")
    out = first
    for one in rest:
        if one[0] == "{":
            out += "\\frac" + one
        elif len(one) < 2:
            return text
        elif one[1] == "{":
            out += f"\\frac{{{one[0]}}}{one[1:]}"
        else:
            out += f"\\frac{{{one[0]}}}{{{one[1]}}}{one[2:]}"
    return out


def ratio(text: str) -> str:
    r"""`3/4` as `\frac{3}{4}`."""
    sides = text.split("/")
    try:
        top, bottom = map(int, sides)
    except ValueError:
        return text
    return f"\\frac{{{top}}}{{{bottom}}}" if text == f"{top}/{bottom}" else text


def replaced(text: str, rules: list[tuple[str, str]]) -> str:
    """Every rule in order."""
    for old, new in rules:
        text = text.replace(old, new)
    return text
