"""From what a run measured to the numbers of its report: endpoints, contrasts, pass@k curves, training series.

`build` is a pure function of a plain dict, so the same run gives the same bytes. Every interval is over problems,
and every contrast is paired with shared draws. The dict:

    name, seed, recipe, environment     as they are to be shown; `recipe["eval"]` gives level, draws and seed
    stages                              in order: name, use, kind, policy, key, reused, seconds, steps, work (as in
                                        `done.json`; None: not counted), and rows of metrics (`step` counts from 1;
                                        none for a curator)
    evaluations                         as `scores` says, with stage, step (None: the end) and settings; optionally
                                        what `grading` says
    handoff                             optional: what hand-off rules chose, each with its candidates' evaluations
    probe                               optional: what the probe says of each point, as `probes/CHECKPOINT.json` has it
    findings, handoffs, budget, reproduce   optional: sentences, sentences, a table, command lines
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from warmrl.report.checkpoints import Track
from warmrl.report.comparable import other_settings
from warmrl.report.counters import counters
from warmrl.report.generalization import Generalization
from warmrl.report.grading import grading, notes, overlaps
from warmrl.report.handoff import handoffs
from warmrl.report.output import write
from warmrl.report.probe import probe
from warmrl.report.scores import DIGITS, FORMAT, METHODS, Suite, Table, check_lengths, rounded, sampling, suites
from warmrl.report.words import CLAIM, answer

__all__ = ["build", "write"]


def build(run: Mapping[str, Any]) -> Table:
    """The report of one run, as it is written to report.json: finite numbers of six significant digits."""
    track = Track(run["stages"])
    evaluations = sorted(run["evaluations"], key=lambda e: track.position(e["stage"], e["step"]))
    for evaluation in evaluations:
        check_lengths(evaluation)
    eval_table = run["recipe"].get("eval", {})
    settings = {
        "level": eval_table.get("interval", 0.95),
        "draws": eval_table.get("bootstrap", 10_000),
        "seed": eval_table.get("seed", 0),
        "method": eval_table.get("method", "bca"),
    }
    report = {
        "format": FORMAT,
        "kind": "run",
        "name": run["name"],
        "seed": run["seed"],
        "claim": CLAIM,
        "interval": {**settings, "method": METHODS["bca"]},
        "roles": track.roles(),
        **measured(evaluations, track, settings),
        "checkpoints": checkpoints(evaluations, track),
        "stages": [stage_row(stage, track) for stage in run["stages"]],
        "training": [
            {**row, "x": track.start(stage["name"]) + row["step"]} for stage in run["stages"] for row in stage["rows"]
        ],
        **generalization(run["recipe"], evaluations, track, settings),
        **probe(run.get("probe", ()), track, settings),
        "sampling": sampling(evaluations),
        "grading": grading(evaluations),
        "notes": notes(evaluations),
        "budget": run.get("budget", {}),
    }
    report["counters"] = list(counters(run["recipe"], report["training"], settings["level"]))
    report["handoff"] = handoffs(run.get("handoff", []), report["suites"], settings)
    report["findings"] = [
        *run.get("handoffs", []),
        *(one for handoff in report["handoff"] for one in handoff["findings"]),
        *report["probe"].pop("findings", []),
        *run.get("findings", []),
        *report.pop("refused"),
        *report["generalization"].pop("refused", []),
    ]
    report["answer"] = answer(report["contrasts"], settings["level"])
    written = {"recipe": run["recipe"], "environment": run["environment"], "reproduce": run.get("reproduce", [])}
    return {**rounded(report, DIGITS), **rounded(written, None)}


def generalization(
    recipe: Mapping[str, Any], evaluations: Sequence[Mapping[str, Any]], track: Track, settings: Mapping[str, Any]
) -> Table:
    """The Generalization Factor of every checkpoint, where the recipe asks for it: its table and its `points`."""
    table = recipe.get("eval", {}).get("generalization")
    units = [e["metrics"][table["metric"]]["unit"] for e in evaluations if table and table["metric"] in e["metrics"]]
    if not table or not units:
        return {"generalization": {}}
    found = Generalization(table, evaluations, track, settings)
    points = found.points()
    return {"generalization": {**table, "unit": units[0], "points": points, "refused": found.refused}}


def measured(evaluations: Sequence[Mapping[str, Any]], track: Track, settings: Mapping[str, Any]) -> Table:
    """Endpoints, contrasts, curves and overlaps of each suite, and what was not compared (`refused`)."""
    found: Table = {"suites": [], "problems": {}, "endpoints": [], "contrasts": [], "curves": [], "overlap": []}
    found["refused"] = []
    for suite in suites(evaluations):
        pairs, refused = comparable_pairs(suite, track)
        endpoints, contrasts = suite.measured(list(pairs), settings)
        found["suites"].append(suite.name)
        found["problems"][suite.name] = len(suite.problems)
        found["endpoints"] += endpoints
        found["contrasts"] += [{"pair": pairs[row["from"], row["to"]], **row} for row in contrasts]
        found["curves"] += suite.curves(settings)
        found["overlap"] += overlaps(suite, endpoints, settings)
        found["refused"] += refused
    return found


def comparable_pairs(suite: Suite, track: Track) -> tuple[dict[tuple[str, str], str], list[str]]:
    """What is compared (base to end, base to RL entry, entry to end); and a sentence for each pair that is not."""
    found = {(track.position(e["stage"], e["step"]), e["stage"]): e for e in suite.evaluations.values()}
    pairs: dict[tuple[str, str], str] = {}
    refused: list[str] = []
    for pair, (first, second) in track.pairs().items():
        one, two = found.get(first), found.get(second)
        if one is None or two is None:
            continue
        names = f"`{one['checkpoint']}` and `{two['checkpoint']}` on `{suite.name}`"
        if unlike := other_settings(one["settings"], two["settings"]):
            refused.append(f"{names} are not compared: they were sampled with another {', '.join(unlike)}.")
            continue
        if set(one["problems"]) != set(two["problems"]):
            common = len(set(one["problems"]) & set(two["problems"]))
            refused.append(f"{names} are compared on the {common} problems that both have.")
        pairs[one["checkpoint"], two["checkpoint"]] = pair
    return pairs, refused


def checkpoints(evaluations: Sequence[Mapping[str, Any]], track: Track) -> list[Table]:
    """The evaluated checkpoints in order, each with its place `x` (optimizer steps since the base)."""
    found = {
        e["checkpoint"]: {
            "name": e["checkpoint"],
            "stage": e["stage"],
            "step": e["step"],
            "x": track.position(e["stage"], e["step"]),
        }
        for e in evaluations
    }
    return list(found.values())


def stage_row(stage: Mapping[str, Any], track: Track) -> Table:
    """A stage without its rows, with its place on the axis of steps."""
    kept = {key: value for key, value in stage.items() if key != "rows"}
    return {**kept, "start": track.start(stage["name"]), "trains": bool(stage["rows"])}
