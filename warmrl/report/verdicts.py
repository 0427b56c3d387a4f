"""What a comparison shows, in words: the lead sentence, and what can be told apart on each suite and metric."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from warmrl.report import words
from warmrl.report.words import change, percent, quantity, span

CLAIM = (
    "Checkpoint claims: intervals over problems. They speak of these checkpoints on problems like these, "
    "not of the methods that made them."
)

Row = Mapping[str, Any]
Table = dict[str, Any]


def answers(report: Mapping[str, Any]) -> list[Table]:
    """The lead sentence, then a sentence for each other row of a comparison of two (targets or arms)."""
    rows = report["methods"]["contrasts"] or report["contrasts"]
    stood = report["methods"]["standings"] or report["standings"]
    control = report["family"]["control"]
    if report["methods"]["standings"] and control not in report["arms"]:
        control = None
    if len({(row["from"], row["to"]) for row in rows}) == 1:
        return [item(row, report["interval"]["level"]) for row in rows if row["difference"] is not None]
    return [{"text": text, "resolved": None} for text in leads(stood, control)]


def item(row: Row, level: float) -> Table:
    """One contrast as a sentence and in a few words."""
    text, where = sentence(row, level), f"On {row['suite']}, "
    return {
        "suite": row["suite"],
        "metric": row["metric"],
        "resolved": row["resolved"],
        "good": words.good(row),
        "up": row["difference"] > 0,
        "text": f"{where}over {words.seeds(row)}, {text.removeprefix(where)}" if "seeds" in row else text,
        "brief": words.brief(row),
    }


def sentence(row: Row, level: float) -> str:
    """What one contrast shows; higher or lower is said only where it is resolved."""
    if not row["resolved"]:
        return words.sentence(row, level)
    unit, side = row["unit"], "higher" if row["difference"] > 0 else "lower"
    size = f"{change(row['difference'], unit)} ({percent(level)} interval {span(row['low'], row['high'], unit)})"
    first, second = quantity(row["first"], unit), quantity(row["second"], unit)
    where = f"On {row['suite']}, {row['metric']}"
    return f"{where} is {side} for {row['to']} ({second}) than for {row['from']} ({first}): {size}."


def leads(stood: Sequence[Row], control: str | None) -> list[str]:
    """What can be told apart by each suite's first metric, a sentence a suite."""
    firsts: dict[str, Row] = {}
    for row in stood:
        firsts.setdefault(row["suite"], row)
    return [against(row, control) if control else among(row) for row in firsts.values()]


def among(row: Row) -> str:
    """All pairs: how many can be told apart, and the highest with what is not told apart from it."""
    text = f"{place(row)}{row['metric']} tells {row['resolved'] or 'none'} of {row['pairs']} pairs apart"
    text += f"; the highest, {row['highest']} ({quantity(row['value'], row['unit'])}), "
    if not row["beside"]:
        return f"{text}is told apart from every other."
    return f"{text}can't be told apart from {listed(row['beside'])} at this size{reach(row)}."


def against(row: Row, control: str) -> str:
    """Each target against the control: which are higher, which lower, and which can't be told apart from it."""
    said = [
        f"{listed(row[side])} {'is' if len(row[side]) == 1 else 'are'} {side} than {control}"
        for side in ("higher", "lower")
        if row[side]
    ]
    if row["open"]:
        said.append(f"{listed(row['open'])} can't be told apart from {control} at this size{reach(row)}")
    return f"{place(row)}by {row['metric']}, {'; '.join(said)}."


def place(row: Row) -> str:
    """On which suite, and over how many seeds for a claim about methods."""
    return f"On {row['suite']}, " + (f"over {row['seeds']}, " if row["seeds"] else "")


def reach(row: Row) -> str:
    """What so many problems could show."""
    if row["mde"] is None:
        return ""
    size = f"{row['seeds']} and {row['n']}" if row["seeds"] else row["n"]
    return f" ({size} {row['units']} resolve about {words.difference(row['mde'], row['unit'])})"


def listed(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def standings(contrasts: Sequence[Row], endpoints: Sequence[Row], key: str = "checkpoint") -> list[Table]:
    """For each suite and metric: how many pairs are told apart, the highest target (or arm), and what is beside it.

    `beside` are the targets that the highest can't be told apart from; `higher`, `lower` and `open` are the targets
    by where they stand to the control, when there is one. `seeds` are those of a claim about methods, `mde` is the
    largest difference that a pair could hide.
    """
    rows: list[Table] = []
    for suite, metric in dict.fromkeys((row["suite"], row["metric"]) for row in contrasts):
        same = [row for row in contrasts if (row["suite"], row["metric"]) == (suite, metric)]
        same = [row for row in same if row["difference"] is not None]
        values = {
            row[key]: row["value"]
            for row in endpoints
            if (row["suite"], row["metric"]) == (suite, metric) and row["value"] is not None
        }
        if not same or not values:
            continue
        top = max(values, key=values.__getitem__)
        unresolved = [row for row in same if not row["resolved"]]
        rows.append(
            {
                "suite": suite,
                "metric": metric,
                "unit": same[0]["unit"],
                "pairs": len(same),
                "resolved": len(same) - len(unresolved),
                "highest": top,
                "value": values[top],
                "beside": [other(row, top) for row in unresolved if top in (row["from"], row["to"])],
                "higher": targets(row for row in same if row["resolved"] and row["difference"] > 0),
                "lower": targets(row for row in same if row["resolved"] and row["difference"] < 0),
                "open": targets(unresolved),
                "n": max(row["n"] for row in same),
                "units": same[0]["units"],
                "seeds": words.seeds(same[0]) if "seeds" in same[0] else "",
                "mde": max((row["mde"] for row in unresolved if row["mde"] is not None), default=None),
            }
        )
    return rows


def targets(rows: Iterable[Row]) -> list[str]:
    """The second side of each contrast, once."""
    return list(dict.fromkeys(row["to"] for row in rows))


def other(row: Row, name: str) -> str:
    """The other side of a pair."""
    return str(row["from"] if row["to"] == name else row["to"])
