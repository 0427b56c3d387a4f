"""Numbers and sentences as a person reads them; a direction is named only where the difference is resolved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

CLAIM = "Checkpoint claim: intervals over problems; one run: no between-run interval."
"""What kind of claim the numbers of one run can carry."""

DECIMALS = {"share": 1, "nats": 3, "count": 2, "tokens": 1}
VALUE_UNIT = {"share": " %", "nats": " nats", "count": "", "tokens": " tokens"}
DIFFERENCE_UNIT = {"share": " points", "nats": " nats", "count": "", "tokens": " tokens"}
UNITS = {"share": "%", "nats": "nats per token", "count": "answers", "tokens": "tokens"}
DASH = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"

PREFIXES = ("", "k", "M", "G", "T", "P", "E", "Z", "Y")

Row = Mapping[str, Any]


def number(value: float | None, unit: str, *, signed: bool = False) -> str:
    """The bare number in the unit's scale (shares in percent), with a true minus sign; a dash where there is none."""
    if value is None:
        return DASH
    scaled = value * 100 if unit == "share" else value
    text = f"{scaled:{'+' if signed else ''}.{DECIMALS[unit]}f}"
    if float(text) == 0:
        text = text.lstrip("+-")
    return text.replace("-", MINUS)


def quantity(value: float | None, unit: str) -> str:
    """A value with its unit: `62.3 %`, `0.412 nats`."""
    return number(value, unit) + (VALUE_UNIT[unit] if value is not None else "")


def difference(value: float | None, unit: str) -> str:
    """A size of differences, without a sign: `2.6 points`."""
    return number(value, unit) + (DIFFERENCE_UNIT[unit] if value is not None else "")


def change(value: float | None, unit: str) -> str:
    """A difference with its sign and unit: `+31.3 points`."""
    return number(value, unit, signed=True) + (DIFFERENCE_UNIT[unit] if value is not None else "")


def span(low: float | None, high: float | None, unit: str, *, signed: bool = False) -> str:
    """An interval: `26.0 to 36.6`; a dash where there is none."""
    if low is None or high is None:
        return DASH
    return f"{number(low, unit, signed=signed)} to {number(high, unit, signed=signed)}"


def rate(value: float | None) -> str:
    """A share of answers: `1.2 %`; `< 0.1 %` where a few are not none; a dash where it isn't known."""
    return "< 0.1 %" if value and value < 0.0005 else quantity(value, "share")


def percent(level: float) -> str:
    """A confidence level: `95 %`."""
    return f"{100 * level:g} %"


def probability(p: float | None) -> str:
    """A p-value with two significant digits, and `< 0.001` below that."""
    if p is None:
        return DASH
    return "< 0.001" if p < 0.001 else f"{p:.2g}"


def duration(seconds: float) -> str:
    """Time in the two largest units: `3 min 12 s`."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def count(found: int | None) -> str:
    """A whole number, in groups of three digits; a dash where it isn't known."""
    return DASH if found is None else f"{found:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def operations(found: float | None) -> str:
    """Floating-point operations with three digits: `1.23 TFLOP`; a dash where they aren't known."""
    if found is None:
        return DASH
    power = min(max(len(str(round(found))) - 1, 0) // 3, len(PREFIXES) - 1)
    return f"{found / 1000**power:.3g} {PREFIXES[power]}FLOP"


def verdict(row: Row, *, over_time: bool = True) -> str:
    """One cell about a contrast: what may be said of it. Over time scores improve; between targets one is higher."""
    if row["difference"] is None or not row["resolved"]:
        same = row["degenerate"] and row["difference"] == 0
        return "equal on every problem" if same else row["words"]
    up = row["difference"] > 0
    if not over_time:
        return "higher" if up else "lower"
    return {True: "improved", False: "worsened", None: "rose" if up else "fell"}[good(row)]


def good(row: Row) -> bool | None:
    """Whether a resolved difference is in the wanted direction; None where it isn't resolved or there is none."""
    if not row["resolved"] or row["higher_is_better"] is None:
        return None
    return bool((row["difference"] > 0) == row["higher_is_better"])


def answer(contrasts: Sequence[Row], level: float) -> list[dict[str, Any]]:
    """What the run shows, a sentence for each metric over the widest pair compared on each suite; weightiest first."""
    rows: list[dict[str, Any]] = []
    for suite in dict.fromkeys(row["suite"] for row in contrasts):
        here = [row for row in contrasts if row["suite"] == suite]
        widest = [row for row in here if row["pair"] == here[0]["pair"] and row["difference"] is not None]
        rows.extend(
            {
                "suite": suite,
                "metric": row["metric"],
                "resolved": row["resolved"],
                "good": good(row),
                "up": row["difference"] > 0,
                "text": sentence(row, level),
                "brief": brief(row),
            }
            for row in widest
        )
    return rows


def sentence(row: Row, level: float) -> str:
    """What one contrast shows, in one sentence; no direction is claimed unless the difference is resolved."""
    unit, where = row["unit"], f"On {row['suite']}, {row['metric']}"
    first, second = quantity(row["first"], unit), quantity(row["second"], unit)
    size = f"{change(row['difference'], unit)} ({percent(level)} interval {span(row['low'], row['high'], unit)})"
    if row["resolved"]:
        verb = "rose" if row["difference"] > 0 else "fell"
        return f"{where} {verb} from {first} at {row['from']} to {second} at {row['to']}: {size}."
    sides = f"{row['from']} ({first}) and {row['to']} ({second})"
    if row["degenerate"] and row["difference"] == 0:
        return f"{where} is the same on every problem at {sides}."
    claim = "is not resolvable at this size" if excludes_zero(row) else "can't be told apart"
    return f"{where} {claim} between {sides}: {size}{limit(row)}."


def brief(row: Row) -> str:
    """The same in a few words, for a list under a heading that says whether it is resolved."""
    unit = row["unit"]
    values = f"{number(row['first'], unit)} → {quantity(row['second'], unit)}"
    size = f"{change(row['difference'], unit)} ({span(row['low'], row['high'], unit)})"
    return f"{row['metric']} on {row['suite']}: {values}, {size}{'' if row['resolved'] else limit(row)}"


def limit(row: Row) -> str:
    """What this many problems could show, after a difference that isn't resolved; nothing where no spread is known."""
    if row["mde"] is None:
        return ""
    size = f"{row['n']} {row['units']}"
    if "seeds" in row:
        size = f"{seeds(row)} and {size}"
    reach = difference(row["mde"], row["unit"])
    if excludes_zero(row) and abs(row["difference"]) >= row["mde"]:
        return f"; over {row['family']} contrasts its adjusted p is {probability(row['adjusted'])}"
    if excludes_zero(row):
        return f"; the interval excludes zero, but {size} resolve about {reach}"
    return f"; {size} resolve about {reach}"


def sentence_case(text: str) -> str:
    """The same text as a sentence begins; names keep their own case elsewhere."""
    return text[:1].upper() + text[1:]


def seeds(row: Row) -> str:
    """How many runs a claim about methods rests on."""
    first, second = row["seeds"]
    return f"{first} seeds each" if first == second else f"{first} and {second} seeds"


def excludes_zero(row: Row) -> bool:
    """Whether the interval of a difference lies on one side of zero."""
    return bool(row["low"] > 0 or row["high"] < 0)
