"""Runs as rows: what each is, how it ended, what it found, what it takes on the disk alone and shared. No torch."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from warmrl.domain.errors import UsageError
from warmrl.engine.following import Run
from warmrl.engine.known_runs import Known, changed, opened
from warmrl.engine.pruning import size
from warmrl.engine.run_process import seconds_of

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


@dataclass
class Row:
    """One run, cell, measurement or study."""

    folder: Path
    name: str
    kind: str
    state: str
    started: str | None
    ended: str | None
    result: dict[str, Any] | None
    """The headline endpoint of a run; of a study how many of its cells have finished."""
    study: Path | None = None
    newest: float = 0.0
    folder_bytes: int = 0
    own_bytes: int = 0
    """Of entries of the store that nobody else refers to."""
    shared_bytes: int = 0
    shared_with: list[str] = field(default_factory=list)

    @property
    def bytes(self) -> int:
        """What goes away with it."""
        return self.folder_bytes + self.own_bytes

    def plain(self) -> dict[str, Any]:
        """The same for machines."""
        own = {name: value for name, value in vars(self).items() if name not in ("folder", "study", "newest")}
        return {"run": str(self.folder), **own, "study": str(self.study) if self.study else None}


def rows_of(known: Sequence[Known]) -> list[Row]:
    """A row for everything that can be read."""
    there = [one for one in known if not one.wrong]
    users: dict[Path, set[Path]] = {}
    for one in there:
        for entry in one.stores() if one.kind != "study" else ():
            users.setdefault(entry, set()).add(one.folder)
    sizes = {entry: size(entry) for entry in users}
    names = {one.folder: (one.study or one.folder).name for one in there}  # a cell is named by its study
    rows = {one.folder: with_sizes(row(one), there, users, sizes, names) for one in there}
    for study in (one for one in there if one.kind == "study"):
        for cell in (one for one in rows.values() if one.study == study.folder):
            as_part(cell, rows[study.folder], study)
    return list(rows.values())


def as_part(cell: Row, study: Row, known: Known) -> None:
    """What a cell and its study say of one another: that a cell failed which could not say so, and since when it is."""
    told = {known.folder / one["folder"]: one["state"] for one in known.about["cells"]}
    if cell.state == "died" and told.get(cell.folder) == "failed":
        cell.state = "failed"
    study.started = min(filter(None, (study.started, cell.started)), default=None)
    if study.state != "running":
        study.ended = max(filter(None, (study.ended, cell.ended)), default=None)


def row(one: Known) -> Row:
    """What is known without looking at the store."""
    about, state, result = one.about, str(one.about["state"]), None
    if one.kind == "study":
        done = sum(cell["state"] == "finished" for cell in about["cells"])
        result = {"finished": done, "cells": len(about["cells"])}
    elif one.kind != "measurement":
        run = Run(one.folder)
        result = run.headline() if state == "finished" else None
    if state == "running" and one.kind != "measurement":
        state = opened(one.folder, one.kind).state
    started, ended = about.get("started"), about.get("ended")
    began, over = (text if isinstance(text, str) else None for text in (started, ended))
    return Row(one.folder, str(about["name"]), one.kind, state, began, over, result, one.study, changed(one))


def with_sizes(
    found: Row,
    there: Sequence[Known],
    users: Mapping[Path, set[Path]],
    sizes: Mapping[Path, int],
    names: Mapping[Path, str],
) -> Row:
    """The row with what it takes on the disk; a study's cells count as the study."""
    own = {found.folder, *(one.folder for one in there if found.kind == "study" and one.study == found.folder)}
    found.folder_bytes = size(found.folder)
    for entry, who in users.items():
        if not who & own:
            continue
        if who <= own:
            found.own_bytes += sizes[entry]
        else:
            found.shared_bytes += sizes[entry]
            found.shared_with += [names[one] for one in who - own]
    found.shared_with = sorted(set(found.shared_with))
    return found


def kept(
    rows: Sequence[Row], state: str | None, recipe: str | None, study: str | None, newer: float | None
) -> list[Row]:
    """The rows that pass the filters: a state, a word of the name, a study's name or folder, seconds since changed."""
    now = time.time()
    return [
        one
        for one in rows
        if (state is None or one.state == state)
        and (recipe is None or recipe in one.name)
        and (study is None or study in named_study(one))
        and (newer is None or now - one.newest <= newer)
    ]


def named_study(one: Row) -> set[str]:
    """How the study that a row is, or belongs to, may be called."""
    folder = one.folder if one.kind == "study" else one.study
    return {folder.name, str(folder)} if folder else set()


SORTS = ("name", "state", "started", "ended", "size", "result")


def in_order(rows: Sequence[Row], by: str) -> list[Row]:
    """Rows by name, state or time (oldest first), or by size or result (largest first). Raises `UsageError`."""
    if by not in SORTS:
        raise UsageError(f"`--sort {by}`: rows are sorted by {', '.join(SORTS)}.")
    order = {
        "name": lambda one: str(one.folder),
        "state": lambda one: one.state,
        "started": lambda one: seconds_of(one.started) or one.newest,
        "ended": lambda one: seconds_of(one.ended) or one.newest,
        "size": lambda one: -one.bytes,
        "result": lambda one: -(value if (value := (one.result or {}).get("value")) is not None else -1e9),
    }
    return sorted(rows, key=order[by])


def seconds_in(text: str, option: str) -> float:
    """A span as people write it (`90m`, `12h`, `2d`, `1w`) in seconds. Raises `UsageError`."""
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([smhdw])", text)
    if not found:
        raise UsageError(f"`{option} {text}` is no span of time: write a number and s, m, h, d or w, as `2d`.")
    return float(found[1]) * UNITS[found[2]]
