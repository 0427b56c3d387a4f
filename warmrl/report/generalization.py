"""The Generalization Factor at every evaluated checkpoint of a run (`warmrl.stats.generalization`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from warmrl.report.checkpoints import BASE, Track
from warmrl.report.comparable import other_settings
from warmrl.report.scores import Suite
from warmrl.stats.generalization import Side, factor

Table = dict[str, Any]
Evaluation = Mapping[str, Any]


class Generalization:
    """The factor of one run: `table` is the recipe's `[eval.generalization]`, `settings` the report's intervals."""

    def __init__(
        self, table: Mapping[str, Any], evaluations: Sequence[Evaluation], track: Track, settings: Mapping[str, Any]
    ) -> None:
        self.table, self.track, self.settings = table, track, settings
        self.found = {(track.position(e["stage"], e["step"]), e["stage"], e["suite"]): e for e in evaluations}
        self.weights = {table["in_domain"]: 1.0, **table["out_of_domain"]}
        self.refused: list[str] = []

    def points(self) -> list[Table]:
        """A row a checkpoint, stage by stage; nothing (and a sentence) where the base is needed and not evaluated."""
        start = self.track.place(BASE) if self.table["form"] == "gains" else None
        if start and self.found and not self.whole(start):
            self.refused.append(
                f"No Generalization Factor: its gains are over `{BASE}`, which is not evaluated; add it to `eval.at`."
            )
            return []
        order = list(self.track.stages)
        places = sorted({(order.index(stage), x, stage) for x, stage, _ in self.found if stage in order})
        rows = [self.measured((x, stage), start) for _, x, stage in places if self.whole((x, stage))]
        return [row for row in rows if row is not None]

    def whole(self, place: tuple[int, str]) -> bool:
        """Whether a checkpoint has the score on every suite."""
        metric = self.table["metric"]
        return all(metric in self.found.get((*place, suite), {"metrics": ()})["metrics"] for suite in self.weights)

    def measured(self, place: tuple[int, str], start: tuple[int, str] | None) -> Table | None:
        """The factor of one checkpoint; None (and a sentence) where it was sampled in another way than the base."""
        here = [self.found[*place, suite] for suite in self.weights]
        before = [self.found[*start, suite] for suite in self.weights] if start else []
        for one, other in zip(here, before, strict=False):
            if unlike := other_settings(other["settings"], one["settings"]):
                names = f"`{other['checkpoint']}` and `{one['checkpoint']}` on `{one['suite']}`"
                self.refused.append(f"No Generalization Factor of {names}: sampled with another {', '.join(unlike)}.")
                return None
        sides = [self.side(one, before[number] if before else None) for number, one in enumerate(here)]
        how = {name: self.settings[name] for name in ("level", "draws", "seed")}
        found = factor(sides[:1], sides[1:], beta=self.table["beta"], **how)
        baseline = before[0]["checkpoint"] if before else None
        about = {name: here[0][name] for name in ("stage", "checkpoint", "step")}
        return {**about, "x": place[0], "baseline": baseline, **asdict(found)}

    def side(self, one: Evaluation, before: Evaluation | None) -> Side:
        """One suite's values, and those of the checkpoint that a gain is over, on the same problems."""
        suite, metric = Suite([one] if before is None else [one, before]), self.table["metric"]
        scores = [
            suite.score(e, e["metrics"][metric]["values"], e["metrics"][metric].get("weights"))
            for e in suite.evaluations.values()
        ]
        baseline = None if before is None else scores[1]
        return Side(suite.problems, scores[0], baseline, suite.clusters(metric), self.weights[suite.name])
