"""What the page of a study shows beside its figures: arms by metric, contrasts in groups, fairness, the regime."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from warmrl.report.figures import Figure
from warmrl.report.study_cells import POINTS
from warmrl.report.study_claims import STAR, shown
from warmrl.report.study_costs import COUNTED, budget_figure, budget_table, large, time_figure, time_table
from warmrl.report.study_looks import key
from warmrl.report.study_methods import WHEN
from warmrl.report.study_outcomes import outcome_figures
from warmrl.report.study_trajectories import regime_unit, trajectory_figures
from warmrl.report.tables import blocks
from warmrl.report.words import DASH, UNITS, change, number, probability, quantity, span

Table = dict[str, Any]

STATUSES = ("unexplained", "accepted", "declared", "matched")
SIDES = {"in": "in the training domain", "out": "out of the training domain"}


def studied(report: Mapping[str, Any]) -> Table:
    """What the template of a study takes beside the report."""
    drawn = [*trajectory_figures(report), *outcome_figures(report), budget_figure(report)]
    figures = [one for one in drawn if any(panel["data"] for panel in one["panels"])]
    timed = [time_figure(report)] if report["timings"]["rows"] else []
    claims = {of: report[of]["claim"].partition(". ")[0].rstrip(".") + "." for of in ("methods", "checkpoints")}
    return {
        "claims": claims,
        "claim": claims["methods" if report["methods"]["contrasts"] else "checkpoints"],
        "arms": key(report),
        "standing": [standing(report, suite) for suite in report["suites"]],
        "method_groups": groups(report, report["methods"]["contrasts"]),
        "checkpoint_groups": groups(report, report["checkpoints"]["contrasts"]),
        "trajectory": trajectory(report),
        "flags": flags(report),
        "separation": separation(report),
        "training_ends": training_ends(report),
        "gains": gains(report),
        "blocks": blocks({"sampling": report["sampling"], "checkpoints": []}),
        "starred": STAR if any("*" in row["shown"] for row in report["endpoints"]) else "",
        "curves": curves(report),
        "transfers": transfers(report),
        "counted": list(COUNTED.values()),
        "budget": budget_table(report),
        "fairness": fairness(report),
        "unfinished": [cell for cell in report["cells"] if cell["state"] != "finished"],
        "times": time_table(report),
        "estimates": [estimate(row) for row in report["timings"]["estimates"]],
        "shown": figures,
        "timed": timed,
        "figures": panels(figures),
        "timed_figures": panels(timed),
    }


def panels(figures: Sequence[Figure]) -> list[Figure]:
    """What the page's script draws: each panel, and how many stand side by side."""
    return [
        {part: panel[part] for part in ("id", "data", "layout")} | {"across": figure["across"]}
        for figure in figures
        for panel in figure["panels"]
        if panel["data"]
    ]


def standing(report: Mapping[str, Any], suite: Mapping[str, Any]) -> Table:
    """One suite: its headline metrics and all of them, by arm, and all of them run by run."""
    rows = [row for row in report["endpoints"] if row["suite"] == suite["name"]]
    at = {(row["arm"], row["point"], row["metric"]): row for row in rows}
    metrics = [one for one in report["metrics"] if any(row["metric"] == one["name"] for row in rows)]
    chosen = headlines(report)
    names = [arm["name"] for arm in report["arms"]]
    return {
        **suite,
        "side": SIDES.get(suite["domain"], ""),
        "tables": [
            standing_table(report, [one for one in metrics if (one["name"] in chosen) is main], at)
            for main in (True, False)
        ],
        "by_seed": {
            "heads": heads(metrics),
            "rows": [seeds_row(at, name, metrics, seed) for name in names for seed in seeds_of(report, name)],
        },
    }


def headlines(report: Mapping[str, Any]) -> set[str]:
    """The metrics of the first table: the headline, pass@k at the largest k, diversity, entropy."""
    names = [one["name"] for one in report["metrics"]]
    widest = max(
        (name for name in names if re.fullmatch(r"pass@\d+", name)), key=lambda name: int(name[5:]), default=""
    )
    own = {report["headline"], widest, report["regime"].get("metric", "entropy")}
    return own | {name for name in names if name.startswith("diversity@")}


def heads(metrics: Sequence[Mapping[str, Any]]) -> list[Table]:
    """The metrics as heads of columns."""
    return [{"name": one["name"], "unit": UNITS[one["unit"]]} for one in metrics]


def standing_table(
    report: Mapping[str, Any], metrics: Sequence[Mapping[str, Any]], at: Mapping[Any, Mapping[str, Any]]
) -> Table:
    """A row an arm (the base first), for each metric a column at RL entry and one at the end."""
    return {
        "heads": heads(metrics),
        "base": [endpoint(at.get((None, "base", one["name"]))) for one in metrics],
        "rows": [
            {
                "arm": arm["name"],
                "small": "control" if arm["name"] == report["control"] else "",
                "cells": [endpoint(at.get((arm["name"], point, one["name"]))) for one in metrics for point in POINTS],
            }
            for arm in report["arms"]
        ],
    }


def endpoint(row: Mapping[str, Any] | None) -> Table | None:
    """A value as a cell; below it its interval, or, of too few seeds, what there is."""
    if row is None or row["value"] is None:
        return None
    return {"value": number(row["value"], row["unit"]), "small": row["shown"].removeprefix("seeds ")}


def seeds_of(report: Mapping[str, Any], arm: str) -> list[Any]:
    """The finished seeds of an arm."""
    return list(next(one["seeds"] for one in report["arms"] if one["name"] == arm))


def seeds_row(at: Mapping[Any, Mapping[str, Any]], arm: str, metrics: Sequence[Mapping[str, Any]], seed: Any) -> Table:
    """One run's values, with intervals over problems."""
    cells: list[Table | None] = []
    for metric in metrics:
        for point in POINTS:
            row = at.get((arm, point, metric["name"]))
            own = next((one for one in row["by_seed"] if one["seed"] == seed), None) if row else None
            cells.append(own and endpoint({**own, "unit": metric["unit"], "shown": shown({**own, **metric}, [])}))
    return {"arm": arm, "small": f"seed {seed}", "cells": cells}


def groups(report: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> list[Table]:
    """Contrasts by suite and point, the end first; within, by metric, with how many are told apart."""
    found = []
    for suite in report["suites"]:
        for point, when in WHEN.items():
            here = [row for row in rows if (row["suite"], row["point"]) == (suite["name"], point)]
            metrics = [
                {
                    "metric": one["name"],
                    "resolved": sum(bool(row["resolved"]) for row in own),
                    "rows": [{"mcnemar": None, **row, "problems": max(row["n"] for row in own)} for row in own],
                    "matrix": matrix(own),
                }
                for one in report["metrics"]
                if (own := [row for row in here if row["metric"] == one["name"]])
            ]
            if metrics:
                found.append({"suite": suite["name"], "point": point, "when": when, "metrics": metrics})
    return found


def matrix(rows: Sequence[Mapping[str, Any]]) -> Table | None:
    """Contrasts of single runs as a row an arm and a column a seed; None for those of methods, which have no seed."""
    if "seed" not in rows[0]:
        return None
    at = {(row["arm"], row["seed"]): row for row in rows}
    seeds = list(dict.fromkeys(row["seed"] for row in rows))
    arms = dict.fromkeys(row["arm"] for row in rows)
    return {"seeds": seeds, "rows": [{"arm": arm, "cells": [at.get((arm, seed)) for seed in seeds]} for arm in arms]}


def trajectory(report: Mapping[str, Any]) -> Table:
    """The entropy curves in numbers, a row a point."""
    unit = regime_unit(report)
    rows = [
        {
            "arm": row["arm"] or "base",
            "where": row["stage"] if row["arm"] else DASH,
            "step": row["step"] if row["arm"] else DASH,
            "value": number(row["value"], unit),
            "over": [two(row.get(over), unit) for over in ("over_problems", "over_seeds")],
            "by_seed": ", ".join(number(value, unit) for value in row.get("by_seed") or []) or DASH,
        }
        for row in report["regime"].get("curves", ())
    ]
    return {"unit": UNITS[unit], "rows": rows}


def flags(report: Mapping[str, Any]) -> Table:
    """What was flagged of single runs, by part; of Stage 2 how many runs that are of all that finished."""
    found = report["regime"]["flags"]
    said = {part: [one["sentence"] for one in found if one["part"] == part] for part in ("outcome", "warm")}
    return {
        **said,
        "runs": len({(one["arm"], one["seed"]) for one in found if one["part"] == "outcome"}),
        "of": sum(len(arm["seeds"]) for arm in report["arms"]),
    }


def two(interval: Mapping[str, Any] | None, unit: str) -> str:
    """An interval that may be missing."""
    return span(interval["low"], interval["high"], unit) if interval else DASH


def separation(report: Mapping[str, Any]) -> list[Table]:
    """Each arm against the control: the sentence, and the differences by step."""
    unit = regime_unit(report)
    return [
        {
            "pair": f"{one['to']} \N{MINUS SIGN} {one['from']}",
            "sentence": one["sentence"],
            "rows": [
                {
                    "name": row["step"],
                    "cells": [
                        change(row["difference"], unit),
                        span(row["low"], row["high"], unit, signed=True),
                        probability(row["adjusted"]),
                        "told apart" if row["resolved"] else "not told apart",
                    ],
                }
                for row in one["rows"]
            ],
        }
        for one in report["regime"].get("separation", ())
    ]


def gains(report: Mapping[str, Any]) -> list[Table]:
    """Entropy at RL entry and what came after it, a row a run."""
    gain = report["regime"]["gain"]
    return [
        {
            "name": f"{one['arm']}, seed {one['seed']}",
            "cells": [quantity(one["entropy"], regime_unit(report)), change(one["gain"], gain["unit"])],
        }
        for one in gain["points"]
    ]


def training_ends(report: Mapping[str, Any]) -> list[Table]:
    """Reward and length in the first and last tenth of Stage 2, a row an arm: the mean over seeds."""
    found = []
    for arm in report["arms"]:
        own = [row for row in report["training"] if row["arm"] == arm["name"] and row["part"] == "outcome"]
        if not own:
            continue
        last = max(row["step"] for row in own)
        tenths = [[row for row in own if row["step"] <= 0.1 * last], [row for row in own if row["step"] > 0.9 * last]]
        cells = [average(rows, field) for field in ("reward", "length") for rows in tenths]
        found.append({"arm": arm["name"], "cells": cells})
    return found


def average(rows: Iterable[Mapping[str, Any]], field: str) -> str:
    """The mean over steps of what is known, with three significant digits; a row stands for `steps` of them."""
    known = [(row[field], row["steps"]) for row in rows if row.get(field) is not None]
    if not known:
        return DASH
    mean = sum(value * steps for value, steps in known) / sum(steps for _, steps in known)
    return f"{mean:.3g}".replace("-", "\N{MINUS SIGN}")


def curves(report: Mapping[str, Any]) -> list[Table]:
    """pass@k of each suite in numbers: a row an arm and point, a column a k."""
    found = []
    for suite in report["suites"]:
        own = [curve for curve in report["curves"] if curve["suite"] == suite["name"]]
        ks = sorted({k for curve in own for k in curve["k"]})
        rows = []
        for curve in own:
            points = zip(curve["k"], curve["value"], curve["low"], curve["high"], strict=True)
            cells = {
                k: {"value": number(value, "share"), "small": span(low, high, "share") if low is not None else ""}
                for k, value, low, high in points
            }
            name = f"{curve['arm']}, {WHEN[curve['point']]}" if curve["arm"] else "base"
            rows.append({"name": name, "cells": [cells.get(k) for k in ks]})
        if rows:
            found.append({"suite": suite["name"], "ks": ks, "rows": rows})
    return found


def transfers(report: Mapping[str, Any]) -> Table:
    """The transfer figure in numbers."""
    rows = [
        {
            "name": one["arm"] if one["seed"] is None else f"{one['arm']}, seed {one['seed']}",
            "mean": one["seed"] is None,
            "cells": [quantity(one[when][side], one["unit"]) for side in ("in", "out") for when in ("from", "to")],
        }
        for one in report["transfer"]
    ]
    return {"metric": report["headline"] or "score", "rows": rows}


def fairness(report: Mapping[str, Any]) -> list[Table]:
    """The fairness table by status, the unexplained first: arms of one value share a line."""
    return [
        {
            "status": status,
            "rows": [
                {"path": row["path"], "reason": row["reason"] or "", "values": shared(row["arms"])}
                for row in report["fairness"]
                if row["status"] == status
            ],
        }
        for status in STATUSES
        if any(row["status"] == status for row in report["fairness"])
    ]


def shared(arms: Mapping[str, Any]) -> list[Table]:
    """The values of a field, each with the arms that have it; one value of all arms stands alone."""
    found: dict[str, list[str]] = {}
    for arm, value in arms.items():
        said = DASH if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        found.setdefault(said, []).append(arm)
    return [{"value": value, "arms": "" if len(found) == 1 else ", ".join(names)} for value, names in found.items()]


def estimate(row: Mapping[str, Any]) -> Table:
    """One estimate of the plan beside what was measured, and by what factor they differ."""
    planned, measured = row["estimated"], row["measured"]
    known = all(isinstance(value, int | float) for value in (planned, measured)) and planned
    return {
        "name": row["what"],
        "cells": [
            said(planned),
            said(measured),
            f"\N{MULTIPLICATION SIGN} {measured / planned:.2f}" if known else DASH,
        ],
    }


def said(value: Any) -> str:
    """An amount of any kind."""
    if value is None:
        return DASH
    if isinstance(value, int | float):
        return f"{value:.3g}" if abs(value) < 1000 else large(float(value))
    return str(value)
