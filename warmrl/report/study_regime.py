"""The regime of a study's runs along both stages: curves, until when arms stay apart, flags, and what entry foretells.

All points of all arms are of one probe set with one estimator. A band over problems says what other problems would
give for these very runs; one over seeds what other runs would give on these very problems. They are never added up.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from scipy.special import stdtrit

from warmrl.report.methods import table
from warmrl.report.scores import Evaluation, Suite, Table
from warmrl.report.study_cells import BASE, Cells
from warmrl.report.words import change, difference, number, quantity, sentence_case, span
from warmrl.stats.crossed import FEWEST_SEEDS, Crossed, method_contrast, pseudovalues
from warmrl.stats.intervals import numbered, t_limits
from warmrl.stats.regime import COLLAPSE, EXPLOSION, Relative, relatives
from warmrl.stats.resampling import Array
from warmrl.stats.separation import FEWEST_ARMS, SIDES, clustered_rho, in_order, last_apart

HEADLINE = "entropy"
SAID = {BASE: "the base", "entry": "RL entry"}
FLAG_RULE = (
    f"Flagged: entropy below {COLLAPSE:g} or above {EXPLOSION:g} times the base's, in the outcome stage also RL "
    "entry's, with its whole interval over problems. Each point is judged alone: over many points some are flagged "
    "by chance."
)
RULE = (
    "Steps are judged in order from RL entry and, back, from the end: one counts as apart only if every one before it, "
    "or every one after it, does. p is Bonferroni-adjusted over the arms and the two directions."
)


class Regime:
    """The probe of a study."""

    def __init__(self, known: Mapping[str, Any], cells: Cells, settings: Mapping[str, Any]) -> None:
        self.cells, self.settings, self.outcome = cells, settings, str(known["outcome"])
        self.steps = {(arm["name"], one["name"]): one.get("steps") for arm in known["arms"] for one in arm["stages"]}
        self.order = {arm["name"]: [one["name"] for one in arm["stages"]] for arm in known["arms"]}
        finished = set(cells.runs())
        self.points = [one for one in known["probe"] if one["arm"] is None or (one["arm"], one["seed"]) in finished]
        first = self.points[0] if self.points else None
        metrics = list(first["metrics"]) if first else []
        self.metric = HEADLINE if HEADLINE in metrics or not metrics else metrics[0]
        self.unit = str(first["metrics"][self.metric]["unit"]) if first else "nats"
        self.first = first

    def table(self, gains: Mapping[tuple[str, int], float], gained: str) -> Table:
        """The whole block; `gains` are those of each run from RL entry to the end, in the unit `gained`."""
        notes = [] if self.points else ["the recipe has no `[probe]`: nothing was measured along the way"]
        notes += self.cells.remarks() if self.points else []
        return {
            "suite": self.first["suite"] if self.first else None,
            "metric": self.metric,
            "unit": self.unit,
            "problems": len(self.first["problems"]) if self.first else 0,
            "samples": self.first.get("settings", {}).get("samples") if self.first else None,
            "curves": list(self.curves()),
            "separation": self.separation(),
            "rule": RULE,
            "flags": list(self.flags()),
            "flag_rule": FLAG_RULE,
            "gain": {**self.gain(gains), "unit": gained},
            "notes": notes,
        }

    def step(self, one: Evaluation) -> int:
        """The step of a point in its stage."""
        step = one["step"] if one["step"] is not None else self.steps.get((one["arm"], one["stage"]))
        return int(step or 0)

    def runs(self, arm: str) -> dict[tuple[str, int], dict[int, Evaluation]]:
        """An arm's points in order, (stage, step), each with the runs that have it."""
        found: dict[tuple[str, int], dict[int, Evaluation]] = {}
        for one in self.points:
            if one["arm"] == arm and self.metric in one["metrics"]:
                found.setdefault((one["stage"], self.step(one)), {})[one["seed"]] = one
        stages = self.order[arm]
        return dict(sorted(found.items(), key=lambda item: (stages.index(item[0][0]), item[0][1])))

    def base(self) -> Evaluation | None:
        """The probe of the base."""
        return next((one for one in self.points if one["arm"] is None), None)

    def curves(self) -> Iterator[Table]:
        """The base, then every point of every arm: the mean of its runs, with both bands."""
        if base := self.base():
            yield {"arm": None, "stage": BASE, "part": None, "step": 0, "share": 0.0, **self.bands([base])}
        for arm in self.cells.arms:
            warm = {place: runs for place, runs in self.runs(arm).items() if place[0] != self.outcome}
            along = {(self.outcome, step): runs for step, runs in self.along(arm).items()}  # from RL entry on
            for (stage, step), runs in (warm | along).items():
                last = self.last(arm, stage)
                part = "outcome" if stage == self.outcome else "warm"
                own = [runs[seed] for seed in sorted(runs)]
                place = {"arm": arm, "stage": stage, "part": part, "step": step, "share": min(1.0, step / last)}
                yield {**place, **self.bands(own)}

    def last(self, arm: str, stage: str) -> int:
        """The steps of an arm's stage: as its recipe says, or where its probes end."""
        probed = max((step for name, step in self.runs(arm) if name == stage), default=0)
        return self.steps.get((arm, stage)) or probed or 1

    def bands(self, runs: Sequence[Evaluation]) -> Table:
        """The mean of runs at one point; Student's intervals over problems, and over seeds from three on."""
        rows, level = self.units(runs), self.settings["level"]
        values = rows.mean(axis=1)
        low, high = t_limits(float(values.mean()), rows.mean(axis=0) - values.mean(), level)
        over_seeds = None
        if len(values) >= FEWEST_SEEDS:
            reach = float(stdtrit(len(values) - 1, (1 + level) / 2) * values.std(ddof=1) / np.sqrt(len(values)))
            over_seeds = {"low": float(values.mean()) - reach, "high": float(values.mean()) + reach}
        return {
            "value": float(values.mean()),
            "over_problems": {"low": low, "high": high},
            "over_seeds": over_seeds,
            "by_seed": values.tolist(),
            "seeds": [one["seed"] for one in runs if one["seed"] is not None],
        }

    def units(self, runs: Sequence[Evaluation]) -> Array:
        """A row of unit scores a run, (S, U), on the problems that all have."""
        suite, labels = self.suite({str(place): one for place, one in enumerate(runs)})
        values, weights = (np.array(side, dtype=np.float64) for side in table(suite, self.metric, labels) or ())
        weights[np.isnan(values)] = 0.0
        kept = np.flatnonzero((weights > 0).all(axis=0))
        return pseudovalues(values[:, kept], weights[:, kept], numbered(suite.clusters(self.metric), kept))

    @staticmethod
    def suite(runs: Mapping[str, Evaluation]) -> tuple[Suite, list[str]]:
        """Runs at one point as a suite, by name."""
        return Suite([{**one, "checkpoint": name} for name, one in runs.items()]), list(runs)

    def along(self, arm: str) -> dict[int, dict[int, Evaluation]]:
        """An arm's runs along the outcome stage, by step; step 0 is RL entry."""
        found = {step: runs for (stage, step), runs in self.runs(arm).items() if stage == self.outcome}
        entry, base = self.cells.entries[arm], self.base()
        own = {one["seed"]: one for one in self.points if one["arm"] == arm and one["checkpoint"] == entry}
        if entry == BASE and base:
            own = dict.fromkeys(self.cells.finished[arm], base)
        return ({0: own} if own else {}) | found

    def separation(self) -> list[Table]:
        """Each arm's distance from the control along the outcome stage, and the step at which it ends."""
        control = self.cells.control
        arms = [arm for arm in self.cells.arms if arm != control]
        if control not in self.cells.arms or not self.points:
            return []
        theirs = self.along(control)
        return [self.apart(arm, theirs, len(arms)) for arm in arms]

    def apart(self, arm: str, theirs: Mapping[int, Mapping[int, Evaluation]], arms: int) -> Table:
        """One arm against the control."""
        own, control = self.along(arm), self.cells.control
        about: Table = {"from": control, "to": arm}
        steps = [step for step in own if min(len(own[step]), len(theirs.get(step, ()))) >= FEWEST_SEEDS]
        if not steps:
            rule = f"a claim about methods takes {FEWEST_SEEDS} seeds or more of each arm"
            return about | {"rows": [], "ends": None, "whole": False, "sentence": f"{arm} against {control}: {rule}."}
        found = [self.contrast(theirs[step], own[step], self.settings["level"]) for step in steps]
        judged = in_order(found, arms, self.settings["level"])
        keys = ("difference", "low", "high", "p", "adjusted", "family", "resolved")
        strict = 1 - (1 - self.settings["level"]) / (SIDES * arms)
        rows = [
            {"step": step, **{key: asdict(one)[key] for key in keys}}
            | {"mde": self.contrast(theirs[step], own[step], strict).mde}
            for step, one in zip(steps, judged, strict=True)
        ]
        whole = all(self.at_end(side[steps[-1]]) for side in (own, theirs))
        about |= {"rows": rows, "ends": last_apart(steps, judged), "whole": whole}
        return about | {"sentence": self.sentence(arm, rows, whole)}

    def at_end(self, runs: Mapping[int, Evaluation]) -> bool:
        """Whether a point is the outcome stage's end, which is spelled by its name."""
        return all(one["checkpoint"] == self.outcome for one in runs.values())

    def contrast(self, theirs: Mapping[int, Evaluation], own: Mapping[int, Evaluation], level: float) -> Crossed:
        """An arm's runs against the control's at one step."""
        runs = {f"{side} {seed}": one for side, of in enumerate((theirs, own)) for seed, one in of.items()}
        suite, labels = self.suite(runs)
        sides = [table(suite, self.metric, part) for part in (labels[: len(theirs)], labels[len(theirs) :])]
        alike: Table = {"ids": suite.problems, "clusters": suite.clusters(self.metric), "level": level}
        (first, first_weights), (second, second_weights) = (side for side in sides if side)
        return method_contrast(first, second, first_weights, second_weights, **alike)

    def sentence(self, arm: str, rows: Sequence[Table], whole: bool) -> str:
        """Until when an arm is told apart from the control; `whole`: the last row is the end of the outcome stage."""
        control, name = self.cells.control, f"{sentence_case(self.metric)} of {arm}"
        resolved, final = [row for row in rows if row["resolved"]], rows[-1]
        end = f"the end of {self.outcome}" if whole else f"step {final['step']}, the last that both have"
        if not resolved:
            most = max((row["mde"] for row in rows if row["mde"] is not None), default=None)
            size = "" if most is None else f"; these runs resolve about {difference(most, self.unit)} at a step"
            return f"{name} can't be told apart from that of {control} at any probed step up to {end}{size}."
        first, last = resolved[0], resolved[-1]
        side = {True: "higher", False: "lower"}[first["difference"] > 0]
        if all((row["difference"] > 0) == (first["difference"] > 0) for row in resolved):
            what = f"{name} is {side} than that of {control}"
        else:
            what = f"{name} differs from that of {control}, now one way, now the other"
        at = "RL entry" if first["step"] == 0 else f"step {first['step']}"
        if last is final:
            start = "at" if first is final else f"from {at} to"
            gap = len(resolved) < 1 + rows.index(last) - rows.index(first)
            return f"{what}, told apart {start} {end}{', though not at every step between' if gap else ''}."
        then = rows[rows.index(last) + 1]
        after = f"step {then['step']}: {change(then['difference'], self.unit)}, interval "
        after += span(then["low"], then["high"], self.unit, signed=True)
        until = f"at {at}" if first is last else f"from {at} up to step {last['step']}"
        return f"{what}, told apart {until}; after it not ({after})."

    def flags(self) -> Iterator[Table]:
        """Collapse and explosion along each run (`warmrl.stats.regime`): against the base, and in Stage 2 RL entry.

        A flag belongs to the part in which the run first has it; what a warm start leaves is no event of Stage 2.
        """
        base = self.base()
        if base is None or self.metric != HEADLINE:
            return
        runs = {f"{place}": one for place, one in enumerate(self.points) if one["arm"] is not None}
        suite, _ = self.suite({BASE: base, **runs})
        scores = {
            name: suite.score(one, one["metrics"][HEADLINE]["values"], one["metrics"][HEADLINE].get("weights"))
            for name, one in suite.evaluations.items()
        }
        order = sorted(runs, key=lambda name: self.place(runs[name]))
        pairs = [(reference, name) for name in order for reference in self.references(name, runs)]
        found = relatives(suite.problems, scores, pairs, clusters=suite.clusters(HEADLINE), **self.settings)
        flagged: dict[tuple[str, int, str, str], list[tuple[Evaluation, Relative]]] = {}
        for reference, name in pairs:
            if what := found[reference, name].flag():
                against = BASE if reference == BASE else "entry"
                run = (runs[name]["arm"], runs[name]["seed"], what, against)
                flagged.setdefault(run, []).append((runs[name], found[reference, name]))
        arms = self.cells.arms
        for arm, seed, kind, against in sorted(flagged, key=lambda run: (arms.index(run[0]), run[1:])):
            about = {"arm": arm, "seed": seed, "kind": kind, "against": against}
            yield about | self.flag(kind, against, flagged[arm, seed, kind, against])

    def references(self, name: str, runs: Mapping[str, Evaluation]) -> Iterator[str]:
        """What a point is beside: the base, and in the outcome stage the run's own RL entry."""
        one = runs[name]
        yield BASE
        if one["stage"] == self.outcome:
            entry = {"arm": one["arm"], "seed": one["seed"], "checkpoint": self.cells.entries[one["arm"]]}
            yield from (other for other, found in runs.items() if entry.items() <= found.items())

    def place(self, one: Evaluation) -> tuple[int, int]:
        """Where a point is on its arm's way."""
        return self.order[one["arm"]].index(one["stage"]), self.step(one)

    def flag(self, kind: str, against: str, flagged: Sequence[tuple[Evaluation, Relative]]) -> Table:
        """A run's first point that is flagged, and the last."""
        (first, relative), last = flagged[0], flagged[-1][0]["checkpoint"]
        size = f"{quantity(relative.value, self.unit)} against {quantity(relative.base, self.unit)} of {SAID[against]}"
        ratio = f"{relative.ratio:.2f} times, interval over problems {relative.low:.2f} to {relative.high:.2f}"
        verb = {"collapse": "has collapsed", "explosion": "has exploded"}[kind]
        until = f"; flagged last at {last}" if last != first["checkpoint"] else ""
        who = f"{sentence_case(HEADLINE)} of {first['arm']}, seed {first['seed']},"
        part = "outcome" if first["stage"] == self.outcome else "warm"
        about = {"checkpoint": first["checkpoint"], "stage": first["stage"], "step": self.step(first), "until": last}
        sizes = {key: getattr(relative, key) for key in ("value", "base", "ratio", "low", "high")}
        said = f"{who} {verb} at {first['checkpoint']}: {size} ({ratio}){until}."
        return {"part": part, **about, **sizes, "sentence": said}

    def gain(self, gains: Mapping[tuple[str, int], float]) -> Table:
        """Entropy at RL entry against what each run gained after it, over arms and seeds."""
        points: list[Table] = []
        for arm in self.cells.arms:
            entry = self.along(arm).get(0, {}) if self.points else {}
            for seed in self.cells.finished[arm]:
                if seed in entry and (arm, seed) in gains:
                    level = float(self.units([entry[seed]]).mean())
                    points.append({"arm": arm, "seed": seed, "entropy": level, "gain": gains[arm, seed]})
        found = clustered_rho(
            [one["entropy"] for one in points],
            [one["gain"] for one in points],
            [one["arm"] for one in points],
            level=self.settings["level"],
        )
        return {
            "points": points,
            "rho": found.value,
            "low": found.low,
            "high": found.high,
            "sentence": self.foretold(found.value, found.low, found.high, found.arms, found.runs),
        }

    def foretold(self, rho: float | None, low: float | None, high: float | None, arms: int, runs: int) -> str:
        """What may be said of entropy at entry and the gain after it."""
        over = f"{sentence_case(self.metric)} at RL entry and the gain after it, over {runs} runs of {arms} arms"
        if rho is None:
            return f"Nothing is said of {self.metric} at RL entry and the gain after it: too few runs that differ."
        value = f"rank correlation {number(rho, 'count', signed=True)}"
        if low is None or high is None:
            return f"{over}: {value}; {arms} arms are too few to tell (it takes {FEWEST_ARMS})."
        size = f"{value} (interval, each arm counted once, {span(low, high, 'count', signed=True)})"
        if low <= 0 <= high:
            return f"{over}: {size}; whether they go together can't be told."
        return f"{over}: {size}; they go together, and arms differ in more than this, so it is no cause."
