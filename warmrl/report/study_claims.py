"""What a study may claim of its scores: of methods (arms of three seeds or more), and of single checkpoints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from warmrl.report.methods import refusals
from warmrl.report.scores import Suite, Table, powers
from warmrl.report.study_cells import BASE, END, ENTRY, POINTS, Cells, alone, label
from warmrl.report.study_methods import CHANGE, Settings, method_rows
from warmrl.report.study_sampling import alike
from warmrl.report.verdicts import listed
from warmrl.report.words import number, span
from warmrl.stats.contrasts import NOT_RESOLVABLE, holm, stands
from warmrl.stats.estimators import pass_at_k
from warmrl.stats.suites import Score, compare_suite

STAR = "*: every resample gives this score, so the interval says nothing of sampling noise."


class Claims:
    """Endpoints, contrasts of methods, contrasts of checkpoints and pass@k curves, suite by suite."""

    def __init__(self, cells: Cells, settings: Settings) -> None:
        self.cells, self.settings = cells, settings
        self.endpoints: list[Table] = []
        self.checkpoints: list[Table] = []
        self.curves: list[Table] = []
        self.refused = list(refused(cells))
        self.means, self.methods = method_rows(cells, settings)
        for name in cells.suites:
            self.suite(name)

    def suite(self, name: str) -> None:
        """One suite: every run at every point with the same draws."""
        cells = self.cells
        base = cells.of(None, None, BASE, name)
        evaluations = [*([base] if base else []), *(one for point in POINTS for one in cells.at(point, name))]
        if not evaluations:
            return
        suite = Suite(evaluations)
        pairs = self.pairs(suite)
        endpoints, contrasts = suite.measured(list(pairs), self.settings)
        by_label = {(row["checkpoint"], row["metric"]): row for row in endpoints}
        for metric in suite.metrics:
            self.endpoints += self.ends(suite, metric, by_label)
        self.checkpoints += judged([pairs[row["from"], row["to"]] | row for row in contrasts], self.settings["level"])
        self.curves += self.pass_at_k(suite)

    def pairs(self, suite: Suite) -> dict[tuple[str, str], Table]:
        """Each run against the control's of the same seed, at entry and at the end; and its end against its entry."""
        cells, found = self.cells, {}
        for point in POINTS:
            for arm, seed in cells.runs():
                if arm != cells.control:
                    pair = (label(cells.control, seed, point), label(arm, seed, point))
                    found[pair] = {"point": point, "seed": seed, "arm": arm}
        for arm, seed in cells.runs():
            found[label(arm, seed, ENTRY), label(arm, seed, END)] = {"point": CHANGE, "seed": seed, "arm": arm}
        return {
            pair: about for pair, about in found.items() if set(pair) <= set(suite.evaluations) and alike(suite, pair)
        }

    def ends(self, suite: Suite, metric: str, measured: Mapping[tuple[str, str], Table]) -> Iterator[Table]:
        """The rows of one metric: the base, then each arm at RL entry and at the end."""
        about = suite.about(metric)
        if base := measured.get((BASE, metric)):
            kept = {key: base[key] for key in ("value", "low", "high", "n", "degenerate")}
            over = {"over": "problems", "note": "one checkpoint: interval over problems", "seeds": 0, "by_seed": []}
            yield {"arm": None, "point": BASE, **about, **kept, **over} | {"shown": shown({**about, **kept}, [])}
        for point in POINTS:
            for arm in self.cells.arms:
                rows = [(seed, measured.get((label(arm, seed, point), metric))) for seed in self.cells.finished[arm]]
                each = [
                    {"seed": seed, **{key: row[key] for key in ("value", "low", "high", "degenerate")}}
                    for seed, row in rows
                    if row
                ]
                if each:
                    n = min(row["n"] for _, row in rows if row)
                    row = {**about, **self.mean(arm, point, suite.name, metric, each, n)}
                    yield {"arm": arm, "point": point, **row, "shown": shown(row, each)}

    def mean(self, arm: str, point: str, suite: str, metric: str, each: Sequence[Table], n: int) -> Table:
        """An arm's mean over its seeds: with a crossed interval from three seeds on, without one below."""
        found = self.means.get((point, arm, suite, metric))
        values = [one["value"] for one in each if one["value"] is not None]
        if found is None or found["value"] is None:
            value = sum(values) / len(values) if values else None
            row = {"value": value, "low": None, "high": None, "over": None, "note": alone(len(each)), "n": n}
            row["degenerate"] = len(each) == 1 and each[0]["degenerate"]
        else:
            kept = {key: found[key] for key in ("value", "low", "high", "n", "degenerate")}
            row = {**kept, "over": "seeds and problems", "note": ""}
        return {**row, "seeds": len(each), "by_seed": list(each)}

    def pass_at_k(self, suite: Suite) -> Iterator[Table]:
        """pass@k of the base, and of each arm at RL entry and at the end: the mean of its runs, band over problems."""
        cells, drawn = self.cells, [one for one in suite.evaluations.values() if one.get("right")]
        if len(drawn) < len(suite.evaluations):
            return
        ks = powers(min(min(one["n"]) for one in drawn))
        runs: dict[tuple[str | None, str], list[str]] = {(None, BASE): [BASE]} if BASE in suite.evaluations else {}
        for arm in cells.arms:
            for point in POINTS:
                own = [label(arm, seed, point) for seed in cells.finished[arm]]
                if set(own) <= set(suite.evaluations):
                    runs[arm, point] = own
        scores = {
            f"{arm} {point}": {str(k): mean_curve(suite, own, k) for k in ks} for (arm, point), own in runs.items()
        }
        alike = next((metric for metric in suite.metrics if metric.startswith("pass@")), None)
        found = compare_suite(suite.problems, scores, clusters=suite.clusters(alike), **self.settings).intervals
        for (name, point), own in runs.items():
            rows = found[f"{name} {point}"].values()
            band = {key: [getattr(row, key) for row in rows] for key in ("value", "low", "high")}
            yield {"arm": name, "point": point, "suite": suite.name, "seeds": len(own), "k": ks, **band}


def shown(row: Mapping[str, Any], each: Sequence[Table]) -> str:
    """What stands under a value: its interval; of one run that over problems, of two their values.

    A star: no resample differs, so the interval says nothing of sampling noise.
    """
    unit, star = row["unit"], " *" if row["degenerate"] else ""
    bounds = each[0] if len(each) == 1 else row
    if bounds["low"] is not None:
        return span(bounds["low"], bounds["high"], unit) + star
    return f"seeds {', '.join(number(one['value'], unit) for one in each)}" if each else ""


def refused(cells: Cells) -> Iterator[str]:
    """What is not said of methods, a sentence each: for want of a control, of other arms, of seeds."""
    if not cells.arms:
        return
    lacking = [arm for arm, seeds in cells.finished.items() if not seeds]
    if cells.control in lacking:
        yield f"The control {cells.control} has no finished run: no arm is compared with it."
    if others := [arm for arm in lacking if arm != cells.control]:
        yield f"Nothing is said of {listed(others)}: no finished run."
    if len(cells.arms) > 1 or not lacking:
        yield from refusals(cells.labels(END))


def mean_curve(suite: Suite, labels: Sequence[str], k: int) -> Score:
    """pass@k of each problem, the mean over an arm's runs; a problem that a run lacks has none."""
    each = []
    for one in (suite.evaluations[name] for name in labels):
        values = [pass_at_k(n, right, k) for n, right in zip(one["n"], one["right"], strict=True)]
        score = suite.score(one, values, one.get("weights"))
        each.append(score)
    return Score(np.mean([np.asarray(score.values) for score in each], axis=0), each[0].weights)


def judged(rows: Sequence[Table], level: float) -> list[Table]:
    """Contrasts of checkpoints, p adjusted over the runs of their point, suite and metric."""
    families: dict[tuple[str, str, str], list[Table]] = {}
    for row in rows:
        families.setdefault((row["point"], row["suite"], row["metric"]), []).append(row)
    for same in families.values():
        tested = [row for row in same if row["p"] is not None]
        for row, p in zip(tested, holm([row["p"] for row in tested]), strict=True):
            row |= {"adjusted": p, "family": len(tested)}
            row["resolved"] = stands(row["difference"], row["low"], row["high"], row["mde"], p, level)
            row["words"] = ("up" if row["difference"] > 0 else "down") if row["resolved"] else NOT_RESOLVABLE
    return list(rows)
