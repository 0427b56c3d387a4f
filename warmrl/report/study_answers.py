"""The lead of a study: what can be told apart and what can't, in a handful of sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from warmrl.report.scores import Table
from warmrl.report.study_cells import END, ENTRY, rows_of
from warmrl.report.study_claims import Claims
from warmrl.report.study_methods import WHEN
from warmrl.report.verdicts import against, listed, standings
from warmrl.report.words import sentence_case


def answers(claims: Claims, regime: Mapping[str, Any], metric: str | None, widest: str | None) -> list[Table]:
    """What is told apart, what is not, what is refused; in each the end before RL entry, the domain before others."""
    cells = claims.cells
    inside, outside = cells.suites[:1], cells.suites[1:]
    wanted = [(END, inside, metric), (END, inside, widest), (END, outside, metric)]
    wanted += [(ENTRY, inside, metric), (ENTRY, inside, widest), (ENTRY, inside, "entropy")]
    if not claims.methods:  # a sentence for each seed: the fewer, the better
        wanted = [(END, inside, metric), (END, outside, metric), (ENTRY, inside, "entropy")]
    asked = dict.fromkeys((point, suite, one) for point, suites, one in wanted for suite in suites if one)
    found: list[Table] = []
    for point, suite, one in asked:
        found += said(claims, point, suite, one)
    found += persistence(regime, cells.control)
    found += [item(text, None, None) for text in (*claims.refused, *map(sentence, cells.remarks()))]
    return sorted(found, key=lambda one: (True, False, None).index(one["resolved"]))


def persistence(regime: Mapping[str, Any], control: str) -> Iterator[Table]:
    """Until which step each arm is told apart from the control, in one sentence."""
    told = [one for one in regime["separation"] if one["rows"]]
    if not told:
        return
    groups: dict[str, list[str]] = {}
    for one in told:
        groups.setdefault(persisted(one), []).append(one["to"])
    said = "; ".join(f"{listed(arms)} {'is' if len(arms) == 1 else 'are'} {how}" for how, arms in groups.items())
    text = f"Along the outcome stage, by {regime['metric']} on {regime['suite']} and against {control}, {said}."
    yield item(text, any(one["ends"] is not None for one in told), "methods")


def persisted(one: Mapping[str, Any]) -> str:
    """Until which step an arm is told apart, in a few words."""
    if one["ends"] is None:
        return "not told apart at any step"
    if one["ends"] == one["rows"][-1]["step"]:
        return "still apart at the end" if one["whole"] else f"apart at step {one['ends']}, the last that both have"
    return f"told apart up to step {one['ends']}, not after it" if one["ends"] else "told apart at RL entry alone"


def said(claims: Claims, point: str, suite: str, metric: str) -> Iterator[Table]:
    """How the arms stand to the control by one metric: as methods, or seed by seed where that is refused."""
    cells, about = claims.cells, {"point": point, "suite": suite, "metric": metric}
    rows, when = rows_of(claims.methods, **about), sentence_case(WHEN[point])
    ends = [row for row in claims.endpoints if row["arm"] is not None]
    if rows:
        for row in standings(rows, rows_of(ends, **about), "arm"):
            text = f"{when}, {lowered(against(row, cells.control))}"
            yield item(text, bool(row["resolved"]), "methods") | about
        return
    rows = rows_of(claims.checkpoints, **about)
    for seed in dict.fromkeys(row["seed"] for row in rows):
        own = [{**row, "from": cells.control, "to": row["arm"]} for row in rows_of(rows, seed=seed)]
        values = [
            {**row, "value": one["value"]}
            for row in rows_of(ends, **about)
            for one in row["by_seed"]
            if one["seed"] == seed
        ]
        for row in standings(own, values, "arm"):
            text = f"{when}, of the checkpoints of seed {seed}, {lowered(against(row, cells.control))}"
            yield item(text, bool(row["resolved"]), "checkpoints") | about | {"seed": seed}


def item(text: str, resolved: bool | None, claim: str | None) -> Table:
    """One sentence; `resolved` None: it claims nothing."""
    return {"text": text, "resolved": resolved, "claim": claim}


def sentence(text: str) -> str:
    """With a capital and a full stop."""
    return f"{sentence_case(text.rstrip('.'))}."


def lowered(text: str) -> str:
    """To go on after a comma."""
    return text[:1].lower() + text[1:]
