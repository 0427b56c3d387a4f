"""Whether arms differ in more than their warm start: every difference matched, declared, accepted, or unexplained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from warmrl.domain.errors import RecipeError, UsageError
from warmrl.engine.fairness_settings import (
    Arm,
    Content,
    Read,
    Told,
    arms_of,
    earlier,
    own_settings,
    start,
    tree,
    warm_settings,
    ways,
)
from warmrl.engine.recipe_file import NAMED
from warmrl.engine.study_budget import match_row
from warmrl.engine.study_file import StudyFile

Row = dict[str, Any]
MISSING = object()
NOT_THERE = "does not apply"
# What a table shows of equal settings: a name for each group, and the tables that are in it.
GROUPS = {
    "model, chat template, pixels": ("model",),
    "answer style": ("answer",),
    "data": ("data",),
    "rewards": ("reward",),
    "sampling": ("sampler",),
    "evaluation": ("suite", "eval", "probe", "grader", "second_opinion"),
}


@dataclass
class Comparison:
    """What comparing trees of settings has found: equal leaves, and differences by path."""

    equal: list[str] = field(default_factory=list)
    different: dict[str, dict[str, Any]] = field(default_factory=dict)

    def compare(self, path: str, values: Mapping[str, Any]) -> None:
        """Compare what arms have at a path; where some have no such table, the table is the difference."""
        first, *others = values.values()
        if all(isinstance(one, Mapping) for one in values.values()):
            names = list(dict.fromkeys(name for one in values.values() for name in one))
            switched = any(one.get("use") != first.get("use") for one in others)
            for name in names:
                below = {arm: one.get(name, MISSING) for arm, one in values.items()}
                if not (switched and MISSING in below.values()):  # another plugin's settings: its name says it all
                    self.compare(f"{path}.{name}" if path else name, below)
        elif all(one is not MISSING and same(one, first) for one in others):
            self.equal.append(path)
        else:
            self.different[path] = dict(values)


def fairness(study: StudyFile, accepted: Sequence[str] = (), work: Mapping[str, Any] | None = None) -> list[Row]:
    """A row for every difference between arms beyond their warm starts, and one for each group of equal settings.

    A row is {"path", "arms": {arm: value}, "status": matched | declared | accepted | unexplained, "reason"}. `work` has
    each arm's plan of resources, for a budget of tokens or operations; without it, it is made where it is needed.
    Raises `DataError` for data that cannot be read, `UsageError` for what may not be accepted.
    """
    for path in accepted:
        if path in NAMED:
            raise UsageError(
                f"`--accept {path}` would accept every `[{path}.*]` at once; name one, or a setting of it."
            )
    arms, table = arms_of(study), study.study
    found = Comparison()
    trees = {name: tree(arm, table.outcome) for name, arm in arms.items()}
    keys = [key for key in trees[table.control] if key != "stage"]
    tops: dict[str, dict[str, Any]] = {key: {name: one.get(key) for name, one in trees.items()} for key in keys}
    read = {"data": tops.pop("data"), "stage": tops.pop("curators")}
    for key, values in tops.items():
        found.compare(key, values)
    for kind, tables in read.items():
        for name in dict.fromkeys(name for one in tables.values() for name in one):
            found.compare(f"{kind}.{name}", {arm: one[name] for arm, one in tables.items() if name in one})
    label = next(iter(arms.values())).label
    compare_stages(found, {name: one["stage"] for name, one in trees.items()}, table.outcome, label)
    compare_earlier(found, arms, table.control)
    compare_starts(found, {name: start(arm, table.outcome) for name, arm in arms.items()})
    ways_apart = list(compare_ways(arms, table.outcome))
    judge = Judge(study, arms, accepted, [row["path"] for row in ways_apart])
    rows = [judge.row(path, values) for path, values in found.different.items()]
    rows.append(judge.declared_amount(match_row(study, arms, work)))
    rows += judge.stale(rows)
    own = [{key: value for key, value in row.items() if key != "differ"} for row in rows]
    curators = tuple(f"stage.{name}" for one in read["stage"].values() for name in one)
    return [*own, warm_row(arms), *ways_apart, *groups(study, found.equal, label, curators), order_row(study, arms)]


def compare_stages(found: Comparison, stages: Mapping[str, Mapping[str, Any]], outcome: str, label: str) -> None:
    """The outcome of all arms; of their warm starts what all that have it share."""
    found.compare(f"stage.{outcome}", {arm: one[outcome] for arm, one in stages.items()})
    warm = {arm: one[label] for arm, one in stages.items() if label in one}
    for name in dict.fromkeys(name for one in warm.values() for name in one):
        found.compare(f"stage.{label}.{name}", {arm: one[name] for arm, one in warm.items() if name in one})


def compare_starts(found: Comparison, starts: Mapping[str, tuple[str, str | None]]) -> None:
    """What all arms begin from: a policy of another run, under each stage that names one, beside those of the base."""
    base = any(stage is None for _, stage in starts.values())
    for stage in dict.fromkeys(stage for _, stage in starts.values() if stage):
        own = {arm: policy for arm, (policy, where) in starts.items() if where in (None, stage) or not base}
        found.compare(f"stage.{stage}.policy", own)


def compare_earlier(found: Comparison, arms: Mapping[str, Arm], control: str) -> None:
    """Stages that train before a warm start's last: those of one name setting by setting, and what each reads and
    trains with what another arm's warm start does; what else they are is the method's own.
    """
    for stage in dict.fromkeys(stage for arm in arms.values() for stage in earlier(arm)):
        own = {name: warm_settings(arm, stage) for name, arm in arms.items() if stage in earlier(arm)}
        other = next((name for name in (control, *arms) if name not in own and arms[name].entry), None)
        for setting in dict.fromkeys(setting for one in own.values() for setting in one):
            values = {name: one[setting] for name, one in own.items() if setting in one}
            if other and (entry := arms[other].entry) and setting in ("data", "train"):
                values = {other: warm_settings(arms[other], entry)[setting], **values}
            found.compare(f"stage.{stage}.{setting}", values)


def compare_ways(arms: Mapping[str, Arm], outcome: str) -> Iterator[Row]:
    """A row for each setting of how results are computed that differs: results are the same, their time is not."""
    found = Comparison()
    trees = {name: ways(arm, outcome) for name, arm in arms.items()}
    for path in dict.fromkeys(path for one in trees.values() for path in one):
        found.compare(path, {name: one[path] for name, one in trees.items() if path in one})
    why = "how it is computed, which changes results by rounding alone; seconds are not comparable"
    for path, values in found.different.items():
        shown = {name: told(values[name]) if name in values else NOT_THERE for name in arms}
        yield {"path": path, "arms": shown, "status": "matched", "reason": why}


@dataclass
class Judge:
    """Says what explains each difference."""

    study: StudyFile
    arms: Mapping[str, Arm]
    accepted: Sequence[str]
    ways: Sequence[str] = ()
    """Paths of settings that differ and change no result."""
    used: set[tuple[str, str]] = field(default_factory=set)
    """Arms and paths that they declare, of declarations that explain something."""

    def row(self, path: str, values: Mapping[str, Any]) -> Row:
        """One difference, with the arms that differ from the control (or the first that has the setting)."""
        control = self.study.study.control
        first = control if control in values else next(iter(values))
        odd = [arm for arm, one in values.items() if not same(one, values[first])]
        shown = {arm: told(values[arm]) if arm in values else NOT_THERE for arm in self.study.arms}
        return self.judged({"path": path, "arms": shown}, odd, first)

    def judged(self, row: Row, odd: Sequence[str], first: str) -> Row:
        """The row with its status and reason."""
        path = row["path"]
        shared = self.reason(first, path) if odd else None
        reasons = {arm: self.reason(arm, path) or shared for arm in odd}
        lacking = [arm for arm, why in reasons.items() if why is None]
        said: dict[str, list[str]] = {}
        for arm, why in reasons.items():
            if why is not None:
                said.setdefault(why, []).append(arm)
        words = [f"{', '.join(who)}: {why}" for why, who in said.items()]
        if not lacking:
            status = "declared"
        elif covered(path, self.accepted):
            status, words = "accepted", [*words, f"{', '.join(lacking)}: accepted by name"]
        else:
            status, words = "unexplained", [*words, f"{', '.join(lacking)}: not declared"]
        return row | {"status": status, "reason": "; ".join(words), "differ": list(odd)}

    def reason(self, arm: str, path: str) -> str | None:
        """What an arm declares of a path, or of a table that it is in."""
        paths = (path, self.own_path(arm, path))
        found = {at: why for at, why in self.study.declared[arm].items() if any(covered(one, [at]) for one in paths)}
        self.used |= {(arm, at) for at in found}
        return next(iter(found.values()), None)

    def declared_amount(self, row: Row) -> Row:
        """The budget's row, whose status follows from its arms that do not match."""
        odd = row.pop("differ")
        amount = row.pop("reason")
        if not odd:
            return row | {"status": "matched", "reason": amount, "differ": []}
        found = self.judged(row, odd, self.study.study.control)
        return found | {"reason": f"{amount} {found['reason']}"}

    def stale(self, rows: Sequence[Row]) -> Iterator[Row]:
        """Declared or accepted paths in which nothing differs: they would hide a later mistake."""
        shared = self.study.study.declared
        for path in shared:
            if not any((arm, path) in self.used for arm in self.study.arms):
                yield self.useless(path, "`[study.declared]`", rows)
        for arm in self.study.arms:
            for path, why in self.study.declared[arm].items():
                if why != shared.get(path) and (arm, path) not in self.used:
                    yield self.useless(path, f"`[arm.{arm}.declared]`", rows)
        for path in self.accepted:
            if not any(covered(row["path"], [path]) and row["differ"] for row in rows):
                yield self.useless(path, f"`--accept {path}`", rows)

    def own_path(self, arm: str, path: str) -> str:
        """A path of the warm start as the arm spells it, whose entry's stage may have another name."""
        own = self.arms[arm]
        top, *rest = path.split(".")
        if own.entry is None or top != "stage" or rest[:1] != [own.label]:
            return path
        return ".".join([top, own.entry, *rest[1:]])

    def useless(self, path: str, where: str, rows: Sequence[Row]) -> Row:
        """A declaration that explains nothing."""
        near = get_close_matches(path, [row["path"] for row in rows if row["differ"]], 1)
        fix = f"perhaps it means `{near[0]}`" if near else "take that out"
        why = f"{where} names it, and there is no difference: {fix}"
        if any(covered(one, [path]) for one in self.ways):
            why = f"{where} names it, which changes no result and needs no word: take that out"
        return {"path": path, "arms": {}, "status": "matched", "reason": why, "differ": []}


def covered(path: str, by: Sequence[str]) -> bool:
    """Whether a path, or a table that it is in, is among these."""
    return any(path == one or path.startswith(f"{one}.") for one in by)


def same(one: Any, other: Any) -> bool:
    """Whether two settings are equal; 1 and 1.0 are, true and 1 are not."""
    return one is other or (isinstance(one, bool) == isinstance(other, bool) and one == other)


def told(value: Any) -> Any:
    """A value as it is shown: plain, for JSON."""
    if value is MISSING or value is None:
        return "none"
    if isinstance(value, Told):
        return value.text
    if isinstance(value, Read):
        return ", ".join(name.partition(".")[2] for name in value.names)
    if isinstance(value, Content):
        return f"{value.place or 'its default'} (content {value.fingerprint[-12:]})"
    if isinstance(value, Mapping):
        return {name: told(one) for name, one in value.items()}
    return value


def warm_row(arms: Mapping[str, Arm]) -> Row:
    """The warm starts themselves: what the study is about."""
    values = {name: own_settings(arm) for name, arm in arms.items()}
    why = "the warm starts themselves, and what each method alone has: what the study compares"
    return {"path": f"stage.{next(iter(arms.values())).label}", "arms": values, "status": "declared", "reason": why}


def groups(study: StudyFile, equal: Sequence[str], label: str, curators: tuple[str, ...]) -> Iterator[Row]:
    """A row for each group of settings that are the same in all arms."""
    outcome = study.study.outcome
    every = GROUPS | {
        "data": (*GROUPS["data"], *curators),
        "outcome": (f"stage.{outcome}",),
        "warm start": (f"stage.{label}",),
    }
    for name, tops in every.items():
        paths = [path for path in equal if covered(path, tops)]
        if not paths:
            continue
        whole = name in ("data", "rewards", "evaluation")  # too many to name: their tables
        what = ", ".join(dict.fromkeys(table_of(path) if whole else path for path in paths))
        who = "arms that have them" if name == "warm start" else "arms"
        why = f"{len(paths)} settings, equal in all {who}: {what}"
        yield {"path": name, "arms": dict.fromkeys(study.arms, "the same"), "status": "matched", "reason": why}


def order_row(study: StudyFile, arms: Mapping[str, Arm]) -> Row:
    """What the draws of each arm follow from. Versions are no part of a recipe: each cell writes down its own."""
    outcome = study.study.outcome
    names = {name: " and ".join(f"`{one}`" for one in (arm.entry, outcome) if one) for name, arm in arms.items()}
    return {
        "path": "order of the data, versions",
        "arms": {name: f"same seeds, {stages}" for name, stages in names.items()},
        "status": "matched",
        "reason": (
            "over equal data the order of problems and the random numbers of a stage follow from the run's seed and "
            "the stage's name; versions are not known before the runs: the report's environment has them"
        ),
    }


def table_of(path: str) -> str:
    """The table that a setting is in: a named one by its name."""
    top, _, rest = path.partition(".")
    return f"{top}.{rest.partition('.')[0]}" if top in NAMED else top


def refuse_unexplained(rows: Sequence[Row], path: Path) -> None:
    """Raise `RecipeError` that names every difference that nothing explains, or return."""
    found = [row for row in rows if row["status"] == "unexplained"]
    if not found:
        return
    idle = [f"`{row['path']}`: {row['reason']}." for row in rows if not row["arms"]]
    many = "a difference" if len(found) == 1 else f"{len(found)} differences"
    raise RecipeError(
        f"{path}: arms differ in more than their warm starts, {many} without an explanation: "
        + " ".join([*map(sentence, found), *idle])
        + ' Give all arms the same value; or say why in `[study.declared]` or `[arm.NAME.declared]` ("PATH" = '
        '"reason"); or take it as it is, for this once, by `--accept PATH`.'
    )


def sentence(row: Row) -> str:
    """One difference in a sentence: its path, and the values with the arms that have them."""
    if row["path"] == "match":
        return f"`match`: {row['reason']}."
    by_value: dict[str, list[str]] = {}
    for arm, value in row["arms"].items():
        if value == NOT_THERE:
            continue
        by_value.setdefault(str(value) or '""', []).append(arm)
    values = "; ".join(f"{value:.60} in {', '.join(who)}" for value, who in by_value.items())
    return f"`{row['path']}` is {values}."
