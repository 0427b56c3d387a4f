"""From what a study's runs measured to the numbers of its report.

`build` is a pure function of a plain dict (`warmrl.engine.study_gather` makes it), so the same runs give the same
bytes; what has clocks in it is in `timings` alone. Claims about methods take three seeds of each arm; claims about
checkpoints stand apart, with intervals over problems.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from warmrl.report import study_sampling as sampled
from warmrl.report.scores import DIGITS, FORMAT, METHODS, Table, rounded
from warmrl.report.study_answers import answers
from warmrl.report.study_budget import budget, environment_findings, environments, timings, training
from warmrl.report.study_cells import END, ENTRY, Cells, headline
from warmrl.report.study_claims import Claims
from warmrl.report.study_methods import METHOD_CLAIM
from warmrl.report.study_regime import Regime
from warmrl.report.verdicts import CLAIM

DEFAULTS = {"level": 0.95, "draws": 10_000, "seed": 0, "method": "bca"}


def build(known: Mapping[str, Any], browser: Mapping[str, Any] | None = None) -> Table:
    """The report of a study, as it is written to report.json: finite numbers of six significant digits."""
    settings = {**DEFAULTS, **known.get("interval", {})}
    cells = Cells(known)
    claims = Claims(cells, settings)
    metric = headline(cells.at(END, cells.suites[0]) or list(known["evaluations"]))
    drawn = sampled.named(known)
    regime = Regime(known, cells, settings).table(gains(claims, cells, metric), unit_of(claims, metric))
    environment = environments(known["environment"])
    report = {
        "format": FORMAT,
        "kind": "study",
        "name": known["name"],
        "interval": {**settings, "method": METHODS[settings["method"]]},
        **{key: known[key] for key in ("control", "seeds", "match", "outcome", "domain")},
        "suites": [
            {"name": suite, "problems": problems(known, suite), "domain": domain(known, suite)}
            for suite in cells.suites
        ],
        "metrics": list(metrics(claims)),
        "headline": metric,
        "arms": [arm_row(arm, known["cells"]) for arm in known["arms"]],
        "cells": [dict(cell) for cell in known["cells"]],
        "note": "; ".join(cells.remarks()),
        "answers": answers(claims, regime, metric, widest(claims)),
        "endpoints": claims.endpoints,
        "methods": {"claim": METHOD_CLAIM, "contrasts": claims.methods, "refused": claims.refused},
        "checkpoints": {"claim": CLAIM, "contrasts": claims.checkpoints},
        "regime": regime,
        "training": list(training(known)),
        "curves": claims.curves,
        "transfer": list(transfer(claims, known["domain"], metric)),
        "budget": budget(known),
        "sampling": sampled.blocks(drawn),
        "findings": [
            *failures(known["cells"]),
            *sampled.findings(drawn),
            *too_few_draws(claims.checkpoints, settings),
            *known["findings"],
            *environment_findings(environment),
        ],
    }
    written = {
        "fairness": known["fairness"],
        "environment": environment,
        "reproduce": known["reproduce"],
        "browser": browser,
    }
    return {**rounded(report, DIGITS), **rounded(written, None), "timings": rounded(timings(known), DIGITS)}


def domain(known: Mapping[str, Any], suite: str) -> str | None:
    """Whether a suite is of the training domain."""
    return "in" if suite == known["domain"]["in"] else "out" if suite in known["domain"]["out"] else None


def problems(known: Mapping[str, Any], suite: str) -> int:
    """Problems of a suite."""
    return max((len(one["problems"]) for one in known["evaluations"] if one["suite"] == suite), default=0)


def metrics(claims: Claims) -> Iterator[Table]:
    """Every metric with its unit, in order."""
    found = {row["metric"]: row for row in claims.endpoints}
    for name, row in found.items():
        yield {"name": name, "unit": row["unit"], "higher_is_better": row["higher_is_better"]}


def widest(claims: Claims) -> str | None:
    """pass@k at the largest k that was asked for."""
    names = {row["metric"] for row in claims.endpoints if row["metric"].startswith("pass@")}
    return max(names, key=lambda name: int(name.removeprefix("pass@")), default=None)


def arm_row(arm: Mapping[str, Any], cells: Sequence[Mapping[str, Any]]) -> Table:
    """An arm with its finished and failed runs."""
    own = [cell for cell in cells if cell["arm"] == arm["name"]]
    return {
        **arm,
        "seeds": [cell["seed"] for cell in own if cell["state"] == "finished"],
        "failed": [{"seed": cell["seed"], "error": cell["error"]} for cell in own if cell["state"] == "failed"],
    }


def failures(cells: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Runs that are not in the numbers, and why."""
    for cell in cells:
        if cell["state"] == "failed":
            why = cell["error"] or "no reason was kept"
            yield f"{cell['arm']}, seed {cell['seed']}, failed and is in no number: {why}"
        if cell["state"] == "outdated":
            yield f"{cell['arm']}, seed {cell['seed']}, is in no number: {cell['error']}."
    open_ = [cell for cell in cells if cell["state"] in ("waiting", "running")]
    waiting = [f"{cell['arm']}, seed {cell['seed']}" for cell in open_]
    if waiting:
        yield f"Not finished, and in no number: {'; '.join(waiting)}."


def too_few_draws(rows: Sequence[Mapping[str, Any]], settings: Mapping[str, Any]) -> Iterator[str]:
    """Whether a permutation's smallest p, adjusted over its family, is above what may be called resolved."""
    largest, draws = max((row["family"] for row in rows if row["p"] is not None), default=0), settings["draws"]
    needed = math.ceil(largest / (1 - settings["level"]))
    if draws + 1 < needed:
        yield (
            f"`eval.bootstrap` is too small: the smallest p of {draws} draws, adjusted over {largest} contrasts of "
            f"checkpoints, is above {1 - settings['level']:.2g}, so none of them can be told apart; take "
            f"{needed} or more."
        )


def scores(claims: Claims, metric: str | None) -> dict[tuple[str, int | None, str, str], float]:
    """Values of a metric by arm, seed (None: the mean), point and suite."""
    found: dict[tuple[str, int | None, str, str], float] = {}
    for row in claims.endpoints:
        if row["arm"] is None or row["metric"] != metric:
            continue
        for seed, value in ((None, row["value"]), *((one["seed"], one["value"]) for one in row["by_seed"])):
            if value is not None:
                found[row["arm"], seed, row["point"], row["suite"]] = value
    return found


def unit_of(claims: Claims, metric: str | None) -> str:
    """The unit of a metric."""
    return next((str(row["unit"]) for row in claims.endpoints if row["metric"] == metric), "share")


def gains(claims: Claims, cells: Cells, metric: str | None) -> dict[tuple[str, int], float]:
    """What each run gained from RL entry to the end, in the domain, by the headline metric."""
    found, suite = scores(claims, metric), cells.suites[0]
    pairs = {run: [found.get((*run, point, suite)) for point in (ENTRY, END)] for run in cells.runs()}
    return {run: end - entry for run, (entry, end) in pairs.items() if entry is not None and end is not None}


def transfer(claims: Claims, domain: Mapping[str, Any], metric: str | None) -> Iterator[Table]:
    """In-domain against out-of-domain score (the mean of the suites outside), from RL entry to the end."""
    found, outside, unit = scores(claims, metric), list(domain["out"]), unit_of(claims, metric)
    for arm, seed in dict.fromkeys((key[0], key[1]) for key in found):
        places = {
            point: [found.get((arm, seed, point, suite)) for suite in (domain["in"], *outside)]
            for point in (ENTRY, END)
        }
        if outside and not any(None in values for values in places.values()):
            start, stop = (
                {"in": values[0], "out": sum(v for v in values[1:] if v is not None) / len(outside)}
                for values in places.values()
            )
            yield {"arm": arm, "seed": seed, "metric": metric, "unit": unit, "from": start, "to": stop}
