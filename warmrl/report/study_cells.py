"""The evaluations of a study by arm, seed, point and suite, as claims are made of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from warmrl.report.scores import Evaluation, Table, check_lengths
from warmrl.report.verdicts import listed

BASE, ENTRY, END = "base", "entry", "end"
POINTS = (ENTRY, END)


class Cells:
    """A study's evaluations: the base once, and each finished run of each arm at RL entry and at the end.

    An arm that starts from the base has the base's answers at entry, with every seed.
    """

    def __init__(self, known: Mapping[str, Any]) -> None:
        self.control: str = known["control"]
        self.suites: list[str] = [known["domain"]["in"], *known["domain"]["out"]]
        self.finished = {arm["name"]: self.seeds(known, arm["name"]) for arm in known["arms"]}
        self.entries = {arm["name"]: arm["entry"] for arm in known["arms"]}
        self.found: dict[tuple[str | None, int | None, str, str], Evaluation] = {}
        for one in known["evaluations"]:
            check_lengths(one)
            self.found[one["arm"], one["seed"], one["point"], one["suite"]] = one
        self.suites += [one for one in dict.fromkeys(key[3] for key in self.found) if one not in self.suites]

    @staticmethod
    def seeds(known: Mapping[str, Any], arm: str) -> list[int]:
        """The seeds of an arm's finished runs."""
        return [cell["seed"] for cell in known["cells"] if cell["arm"] == arm and cell["state"] == "finished"]

    @property
    def arms(self) -> list[str]:
        """Arms with a finished run, the control first."""
        return sorted((arm for arm, seeds in self.finished.items() if seeds), key=lambda arm: arm != self.control)

    def of(self, arm: str | None, seed: int | None, point: str, suite: str) -> Evaluation | None:
        """One evaluation, under a name of its own; None where it isn't there."""
        found = self.found.get((arm, seed, point, suite))
        if found is None and point == ENTRY and arm is not None and self.entries[arm] == BASE:
            found = self.found.get((None, None, BASE, suite))
        return found and {**found, "checkpoint": label(arm, seed, point)}

    def at(self, point: str, suite: str) -> list[Evaluation]:
        """Every run's evaluation at a point."""
        return list(filter(None, (self.of(arm, seed, point, suite) for arm, seed in self.runs())))

    def runs(self) -> Iterator[tuple[str, int]]:
        """Every finished run."""
        for arm in self.arms:
            for seed in self.finished[arm]:
                yield arm, seed

    def labels(self, point: str) -> dict[str, list[str]]:
        """Each arm's runs at a point, by the names of their evaluations."""
        return {arm: [label(arm, seed, point) for seed in self.finished[arm]] for arm in self.arms}

    def remarks(self) -> list[str]:
        """What holds of arms with fewer than three runs: of all of them, or of each by name."""
        few: dict[int, list[str]] = {}
        for arm in self.arms:
            if alone(len(self.finished[arm])):
                few.setdefault(len(self.finished[arm]), []).append(arm)
        return [alone(seeds, () if arms == self.arms else arms) for seeds, arms in sorted(few.items())]


def label(arm: str | None, seed: int | None, point: str) -> str:
    """The name of one run at a point."""
    return point if arm is None else f"{arm}, seed {seed}, {point}"


def headline(evaluations: Sequence[Evaluation]) -> str | None:
    """The metric that speaks for all: the first of which more is better."""
    for one in evaluations:
        for name, metric in one["metrics"].items():
            if metric["higher_is_better"]:
                return str(name)
    return None


def alone(seeds: int, arms: Sequence[str] = ()) -> str:
    """What a table says of so few runs, of these `arms` where it is not all; nothing from three on."""
    runs, of = {1: "one run", 2: "two runs"}.get(seeds), f" of {listed(arms)}" if arms else ""
    each = " each" if len(arms) > 1 else ""
    return f"{runs}{each}{of}: no between-run interval" if runs else ""


def rows_of(rows: Sequence[Mapping[str, Any]], **wanted: Any) -> list[Table]:
    """The rows that have these values."""
    return [dict(row) for row in rows if all(row[key] == value for key, value in wanted.items())]
