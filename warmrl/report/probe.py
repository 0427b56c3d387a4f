"""The probe of a run: each point with its interval over problems, and where entropy collapsed or exploded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from warmrl.report.checkpoints import BASE, Track
from warmrl.report.scores import Suite, Table, check_lengths
from warmrl.report.words import percent, quantity
from warmrl.stats.regime import COLLAPSE, EXPLOSION, Relative, relatives

Point = Mapping[str, Any]
Pair = tuple[str, str]

ENTROPY = "entropy"
SAID = {"base": "the base", "entry": "RL entry"}


def probe(points: Sequence[Point], track: Track, settings: Mapping[str, Any]) -> Table:
    """The probe of a run, as report.json has it; empty where there is none.

    Each of `points` is what `probes/CHECKPOINT.json` holds, in the order of the run. `settings`: of the intervals.
    """
    if not points:
        return {"probe": {}}
    for point in points:
        check_lengths(point)
    suite = Suite(points)
    endpoints, _ = suite.measured([], settings)
    found = entropies(suite, track, settings)
    roles = {name: role for role, name in track.roles().items()}
    rows = [
        {
            **{name: point[name] for name in ("checkpoint", "stage", "step")},
            "x": track.position(point["stage"], point["step"]),
            "role": roles.get(point["checkpoint"], "along"),
            "on_line": on_line(point, track),
            "relative": {
                against: asdict(one) for (against, _, name), one in found.items() if name == point["checkpoint"]
            },
        }
        for point in points
    ]
    flags = [
        {**{name: row[name] for name in ("checkpoint", "stage", "step")}, **flag}
        for row in rows
        for flag in flagged(found, row["checkpoint"], settings["level"])
    ]
    section = {
        "on": suite.name,
        "problems": len(suite.problems),
        "samples": points[0]["settings"]["samples"],
        "settings": points[0]["settings"],
        "thresholds": {"collapse": COLLAPSE, "explosion": EXPLOSION},
        "points": rows,
        "endpoints": endpoints,
        "flags": flags,
    }
    return {"probe": section | {"findings": list(findings(section))}}


def on_line(point: Point, track: Track) -> bool:
    """Whether it is on the way from the base to the end: of a stage of that line, and not past what was handed on."""
    line = track.ancestry()
    if point["stage"] not in line:
        return bool(point["stage"] == BASE)
    after = line[line.index(point["stage"]) + 1 :][:1]
    return not after or track.position(point["stage"], point["step"]) <= track.start(after[0])


def entropies(suite: Suite, track: Track, settings: Mapping[str, Any]) -> dict[tuple[str, str, str], Relative]:
    """The entropy of each point beside the base's, and after RL entry beside that one's: by (role, it, point)."""
    own = {name: one["metrics"][ENTROPY] for name, one in suite.evaluations.items() if ENTROPY in one["metrics"]}
    scores = {name: suite.score(suite.evaluations[name], one["values"], one["weights"]) for name, one in own.items()}
    wanted = [(role, pair) for role, pair in references(suite, track) if set(pair) <= set(scores)]
    pairs = list(dict.fromkeys(pair for _, pair in wanted))
    made = relatives(suite.problems, scores, pairs, clusters=suite.clusters(ENTROPY), **settings)
    return {(role, *pair): made[pair] for role, pair in wanted}


def references(suite: Suite, track: Track) -> Iterator[tuple[str, Pair]]:
    """What each point is beside: the base, and from RL entry on that, unless its answers are the base's."""
    roles, line = track.roles(), track.ancestry()
    entry, evaluations = roles.get("entry", BASE), suite.evaluations
    for name in evaluations:
        if name != BASE:
            yield "base", (BASE, name)
    if entry not in evaluations or (BASE in evaluations and same(evaluations[BASE], evaluations[entry])):
        return
    later = line[line.index(track.place(entry)[1]) + 1 :]
    for name, one in evaluations.items():
        if one["stage"] in later:
            yield "entry", (entry, name)


def same(one: Point, other: Point) -> bool:
    """Whether two points are of the same answers: a warm start that trains nothing is the base."""
    return all(one[name] == other[name] for name in ("problems", "metrics"))


def flagged(found: Mapping[tuple[str, str, str], Relative], checkpoint: str, level: float) -> Iterator[Table]:
    """The flags of one point: what it is called beside which reference, and a sentence."""
    for (against, reference, name), one in found.items():
        kind = one.flag() if name == checkpoint else None
        if kind is not None:
            about = {"kind": kind, "against": against, "reference": reference}
            yield {**about, **asdict(one), "sentence": sentence(checkpoint, kind, against, one, level)}


def sentence(checkpoint: str, kind: str, against: str, one: Relative, level: float) -> str:
    """One flag in words: against what, by how much, how surely."""
    bound = f"below {COLLAPSE:g}" if kind == "collapse" else f"above {EXPLOSION:g}"
    return (
        f"Entropy {kind} at `{checkpoint}` against {SAID[against]}: {quantity(one.value, 'nats')}, "
        f"{one.ratio:.2g} times {quantity(one.base, 'nats')} ({percent(level)} interval {one.low:.2g} to "
        f"{one.high:.2g}, {bound})."
    )


def findings(section: Mapping[str, Any]) -> Iterator[str]:
    """The flags of a run, a sentence for each kind and reference: how many points, the first and the furthest."""
    entry = any("entry" in point["relative"] for point in section["points"])
    kinds = {(flag["kind"], flag["against"]) for flag in section["flags"]}
    for kind, against in sorted(kinds):
        flags = [one for one in section["flags"] if (one["kind"], one["against"]) == (kind, against)]
        judged = sum(against in point["relative"] for point in section["points"])
        furthest = (min if kind == "collapse" else max)(flags, key=lambda one: one["ratio"])
        text = flags[0]["sentence"]
        if len(flags) > 1:
            text += (
                f" So at {len(flags)} of {judged} points, {furthest['ratio']:.2g} times at `{furthest['checkpoint']}`."
            )
        if against == "base" and entry and (kind, "entry") not in kinds:
            text += f" Against RL entry there is no {kind}."
        yield text
