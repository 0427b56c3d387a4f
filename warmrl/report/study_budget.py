"""What each run of a study took, the budget that was to be matched, and training curves thin enough for a page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any

from warmrl.report.scores import Table

COUNTS = ("prompts", "samples", "sampled_tokens", "trained_tokens", "teacher_tokens", "updates")
COUNTED = {
    "prompts": "prompts",
    "samples": "samples",
    "tokens": "trained_tokens",
    "updates": "updates",
    "flops": "flops",
}
"""The column of the work that each `study.match` means."""
CLOSE = 0.02
"""How far from the control's a matched budget may be."""
MOST = 60
"""Points of a training curve, at most, of one stage of one run."""
CURVES = ("reward", "length", "entropy")
PARTS = ("warm", "outcome")


def budget(known: Mapping[str, Any]) -> Table:
    """The work of each run's warm start and outcome stage, and each arm's warm start beside the control's."""
    rows = list(worked(known["work"]))
    return {"match": known["match"], "rows": rows, "matched": matched(known, rows)}


def worked(work: Sequence[Mapping[str, Any]]) -> Iterator[Table]:
    """Sums over the stages of each part of each run; a count that any stage lacks is None: not counted."""
    for arm, seed in dict.fromkeys((one["arm"], one["seed"]) for one in work):
        for part in PARTS:
            own = [one for one in work if (one["arm"], one["seed"], one["part"]) == (arm, seed, part)]
            if own:
                by = {
                    name: total([flops(one, name) for one in own]) for name in ("sample", "score", "train", "teacher")
                }
                yield {
                    "arm": arm,
                    "seed": seed,
                    "part": part,
                    **{name: total([one.get(name) for one in own]) for name in COUNTS},
                    "flops": total(list(by.values())),
                    "flops_by": by,
                    "stages": [one["stage"] for one in own],
                }


def flops(work: Mapping[str, Any], name: str) -> float | None:
    """Operations of one kind of a stage."""
    known = work.get("flops")
    return known.get(name) if isinstance(known, Mapping) else None


def total(values: Sequence[Any]) -> Any:
    """The sum; None where one is not counted."""
    return None if any(value is None for value in values) else sum(values)


def matched(known: Mapping[str, Any], rows: Sequence[Table]) -> list[Table]:
    """Each arm's mean amount of the matched budget in its warm start, and its ratio to the control's."""
    finished = {(cell["arm"], cell["seed"]) for cell in known["cells"] if cell["state"] == "finished"}
    column = COUNTED[known["match"]]
    amounts: dict[str, Any] = {}
    for arm in known["arms"]:
        own = [row for row in rows if row["arm"] == arm["name"] and (row["arm"], row["seed"]) in finished]
        if own:
            warm = [row[column] for row in own if row["part"] == "warm"]
            amounts[arm["name"]] = None if None in warm else fmean(warm) if warm else 0.0
    control = (
        known["control"] if amounts.get(known["control"]) else next((a for a, one in amounts.items() if one), None)
    )
    declared = {arm["name"]: arm.get("declared", {}).get("match") for arm in known["arms"]}
    accepted = any(row["path"] == "match" and row["status"] == "accepted" for row in known["fairness"])
    out = []
    for arm in known["arms"]:
        if arm["name"] in amounts:
            amount, reason = amounts[arm["name"]], declared[arm["name"]]
            ratio = amount / amounts[control] if amount is not None and control else None
            found = {"amount": amount, "ratio": ratio, "reason": reason}
            status = verdict(arm["name"] == known["control"], amount, ratio)
            if status == "not matched":
                found["reason"] = reason = reason or declared.get(control)
                status = "declared" if reason else "accepted" if accepted else status
            out.append({"arm": arm["name"], **found, "status": status})
    return out


def verdict(control: bool, amount: float | None, ratio: float | None) -> str:
    """How an arm's warm start compares with the control's (with the first's, where the control has none)."""
    if amount is None:
        return "not counted"
    if amount == 0:
        return "no warm start"
    if control:
        return "control"
    return "matched" if ratio is not None and abs(ratio - 1) <= CLOSE else "not matched"


def training(known: Mapping[str, Any]) -> Iterator[Table]:
    """Reward, length and entropy along each stage of each run, in means of neighbouring steps (`steps` of them)."""
    stages: dict[tuple[str, int, str], list[Mapping[str, Any]]] = {}
    for row in known["training"]:
        stages.setdefault((row["arm"], row["seed"], row["stage"]), []).append(row)
    for (arm, seed, stage), rows in stages.items():
        part = "outcome" if stage == known["outcome"] else "warm"
        each = -(-len(rows) // MOST)
        for start in range(0, len(rows), each):
            block = rows[start : start + each]
            place = {"arm": arm, "seed": seed, "stage": stage, "part": part, "step": block[-1]["step"]}
            yield {**place, "steps": len(block), **{name: average(block, name) for name in CURVES}}


def average(rows: Sequence[Mapping[str, Any]], name: str) -> float | None:
    """The mean of the steps that have it."""
    values = [row[name] for row in rows if isinstance(row.get(name), int | float)]
    return fmean(values) if values else None


def timings(known: Mapping[str, Any]) -> Table:
    """The one part with clocks: seconds by phase, and what was estimated beside what was measured."""
    return {
        key: [dict(row) for row in rows]
        for key, rows in (("rows", known["timings"]), ("estimates", known["estimates"]))
    }


def environments(found: Mapping[str, Mapping[str, Any]]) -> Table:
    """What all runs share of where they ran, and the fields in which they differ."""
    flat = {run: dict(flattened(one)) for run, one in found.items()}
    fields = sorted({field for one in flat.values() for field in one})
    same: Table = {}
    differ: list[Table] = []
    for field in fields:
        values = {run: one.get(field) for run, one in flat.items()}
        if len({repr(value) for value in values.values()}) == 1:
            same[field] = next(iter(values.values()))
        else:
            differ.append({"field": field, "values": values})
    return {"same": same, "differ": differ}


def flattened(table: Mapping[str, Any], at: str = "") -> Iterator[tuple[str, Any]]:
    """A table's leaves by dotted name."""
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from flattened(value, f"{at}{key}.")
        else:
            yield f"{at}{key}", value


def environment_findings(environment: Mapping[str, Any]) -> Iterator[str]:
    """Runs that ran elsewhere than the others, a sentence a field."""
    for one in environment["differ"]:
        groups: dict[str, list[str]] = {}
        for run, value in one["values"].items():
            groups.setdefault("none" if value is None else str(value), []).append(run)
        said = "; ".join(f"{value} ({few(runs)})" for value, runs in groups.items())
        yield f"Runs differ in `{one['field']}` of their environment: {said}."


def few(names: Sequence[str]) -> str:
    """Up to three names, and how many more there are."""
    more = len(names) - 3
    return ", ".join(names[:3]) + (f" and {more} more" if more > 0 else "")
