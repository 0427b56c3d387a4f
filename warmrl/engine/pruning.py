"""What of the store no run refers to any more, and its removal under the store's locks. No torch.

A run refers to the entries in its `run.json`, and to a policy between the steps of a stage by naming it anywhere in its
recipe, its evaluations, hand-offs or probes (`rl@60`).
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from warmrl.domain.errors import UsageError
from warmrl.engine.journal_tail import JsonFile
from warmrl.engine.known_runs import Known, known_runs

# `rl@60` wherever it stands: a value of a recipe, the name of an evaluation or a probe, behind `RUN#`.
AT_STEP = re.compile(r"(?:^|#)([A-Za-z_][A-Za-z0-9_-]*)@([0-9]+)(?:$|\.)")
PRUNED = ".tmp-pruned-"
STEP = re.compile(r"step-0*([0-9]+)")


@dataclass
class References:
    """What the runs of some folders refer to."""

    entries: set[Path] = field(default_factory=set)
    names: dict[Path, set[str]] = field(default_factory=dict)
    """The stages whose result an entry is."""
    steps: set[tuple[str, int]] = field(default_factory=set)
    """Policies between steps, by the stage's name: whoever names one keeps it in every run."""
    unfinished: set[Path] = field(default_factory=set)
    """Entries of runs that have not finished: what they will refer to is not known yet."""

    @classmethod
    def of(cls, runs: Sequence[Known]) -> References:
        """Everything that these runs refer to."""
        found = cls()
        for one in runs:
            if one.wrong or one.kind == "study":
                continue
            stores = one.stores()
            found.entries |= stores.keys()
            for entry, name in stores.items():
                found.names.setdefault(entry, set()).update({name} - {""})
            found.steps |= set(named_steps(one))
            if one.about["state"] != "finished":
                found.unfinished |= stores.keys()
            found.entries |= {link.resolve().parent for link in one.folder.glob("evaluations/*/samples.jsonl")}
        return found

    def needs(self, policy: Path) -> bool:
        """Whether a run refers to the policy `ENTRY/policies/step-N`, or may come to."""
        entry, step = policy.parent.parent.resolve(), STEP.fullmatch(policy.name)
        if step is None or entry in self.unfinished or entry not in self.names:
            return True
        return any((name, int(step[1])) in self.steps for name in self.names[entry])


def named_steps(run: Known) -> Iterator[tuple[str, int]]:
    """Every stage and step that a run names, in its recipe, in what it is, or by a file that it holds."""
    recipe = JsonFile(run.folder / "recipe.resolved.json")
    recipe.read()
    files = [*run.folder.glob("evaluations/*"), *run.folder.glob("handoffs/*/*"), *run.folder.glob("probes/*")]
    for text in (*texts(recipe.known), *texts(run.about), *(file.name for file in files)):
        yield from ((stage, int(step)) for stage, step in AT_STEP.findall(text))


def texts(value: Any) -> Iterator[str]:
    """Every text in a plain value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from texts(one)


@dataclass(frozen=True)
class Loose:
    """Something in the store that nothing refers to."""

    folder: Path
    bytes: int
    policy: bool = False

    @property
    def entry(self) -> Path:
        """The entry of the store whose lock guards it."""
        return self.folder.parent.parent if self.policy else self.folder


def runs_in(homes: Sequence[Path], ignore_damaged: bool) -> list[Known]:
    """The runs of some homes. Raises `UsageError` where one can't be read: what it refers to is not known; and for one
    besides the first that holds none.
    """
    by_home = {where: known_runs(where) for where in homes}
    for where in homes[1:]:
        if all(one.wrong and not one.damaged for one in by_home[where]):
            raise UsageError(
                f"`--also {where}` holds no run, and nothing was removed: name a folder with run folders in it, or a "
                "run's or study's own."
            )
    found = [one for own in by_home.values() for one in own]
    damaged = [one for one in found if one.damaged and one.kind != "study"]
    if damaged and not ignore_damaged:
        raise UsageError(
            f"{damaged[0].wrong} So what it refers to is not known, and nothing was removed. Run its recipe again, "
            "remove the folder, or say `--ignore-damaged` to count it as no run."
        )
    return found


def references_now(homes: Sequence[Path], ignore_damaged: bool) -> References:
    """What the runs of some homes refer to at this moment."""
    return References.of(runs_in(homes, ignore_damaged))


def loose(store: Path, found: References, older_than: float, *, policies: bool) -> list[Loose]:
    """Entries that nothing refers to (with `policies`, such policies of the others), unchanged for so many seconds."""
    out = []
    for entry in sorted(one for one in store.glob("*") if one.is_dir() and not one.name.startswith(".")):
        if entry.resolve() not in found.entries:
            out.append(Loose(entry, size(entry)))
        elif policies:
            kept = sorted(entry.glob("policies/step-*"))
            out += [Loose(one, size(one), policy=True) for one in kept if not found.needs(one)]
    now = time.time()
    return [one for one in out if now - newest(one.folder) >= older_than]


def remove(one: Loose, homes: Sequence[Path], ignore_damaged: bool) -> str:
    """Remove it under its lock; why it was left instead, or nothing.

    What refers to it is read again under the lock: a run writes what it refers to before it takes a lock.
    """
    lock = FileLock(one.entry.with_name(f".{one.entry.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return "a run is at work on it"
    try:
        found = references_now(homes, ignore_damaged)
        if found.needs(one.folder) if one.policy else one.folder.resolve() in found.entries:
            return "a run that began meanwhile refers to it"
        aside = one.entry.with_name(f"{PRUNED}{one.folder.name}-{os.getpid()}")
        one.folder.rename(aside)  # what is half removed is never taken for an entry
        for rest in one.entry.parent.glob(f"{PRUNED}*"):
            shutil.rmtree(rest, ignore_errors=True)
    finally:
        lock.release()
    return ""


def size(folder: Path) -> int:
    """Bytes of a folder's files; links are not followed, and what goes away meanwhile is not counted."""
    return sum(about.st_size for about in files(folder))


def newest(folder: Path) -> float:
    """When anything in a folder was last changed, in seconds since 1970."""
    return max((about.st_mtime for about in files(folder)), default=folder.stat().st_mtime)


def files(folder: Path) -> Iterator[os.stat_result]:
    """What the system says of each file of a folder."""
    for where, _, names in os.walk(folder):
        for name in names:
            try:
                yield os.lstat(os.path.join(where, name))  # noqa: PTH118
            except OSError:
                continue
