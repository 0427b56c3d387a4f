"""The runs and studies of the default folder, for whoever lists, follows or prunes them. No torch.

A folder whose `run.json` or `study.json` cannot be read, or is somebody else's, is named and left alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from warmrl.domain.errors import UsageError
from warmrl.engine.following import Run, table
from warmrl.engine.following_study import Study
from warmrl.engine.run_place import RUN_FILE, STUDY_FILE, home, is_row


@dataclass(frozen=True)
class Known:
    """One folder with a run (`run`, `cell`, `measurement`) or a study in it; `wrong` says why it cannot be used."""

    folder: Path
    kind: str
    about: dict[str, Any] = field(default_factory=dict)
    wrong: str = ""
    damaged: bool = False
    """What was written here cannot be read any more: nobody knows what it refers to."""
    study: Path | None = None
    """Of a cell: the study's folder."""

    def stores(self) -> dict[Path, str]:
        """The entries of the store that it refers to, each with the name of the stage that made it, or nothing."""
        found = {(self.folder / one).resolve(): "" for one in self.about.get("entries", [])}
        for name, stage in self.about.get("stages", {}).items():
            found[(self.folder / stage["store"]).resolve()] = name
        if store := table(self.about.get("now")).get("store"):
            found.setdefault((self.folder / str(store)).resolve(), str(table(self.about["now"]).get("stage", "")))
        return found


def known_runs(where: Path | None = None) -> list[Known]:
    """Everything in a home: runs, measurements, studies, and the cells of each after it. A home may be one itself."""
    where = where or home()
    found = []
    places = (RUN_FILE, STUDY_FILE, f"*/{RUN_FILE}", f"*/{STUDY_FILE}")
    for file in sorted(file for one in places for file in where.glob(one)):
        found.append(read(file, "study" if file.name == STUDY_FILE else "run"))
        if file.name == STUDY_FILE:
            cells = sorted(file.parent.glob(f"*/seed-*/{RUN_FILE}"))
            found += [read(one, "cell", file.parent) for one in cells]
    orphans = set(where.glob(f"*/*/seed-*/{RUN_FILE}")) - {one.folder / RUN_FILE for one in found}
    return found + [read(one, "cell") for one in sorted(orphans)]


def read(file: Path, kind: str, study: Path | None = None) -> Known:
    """One `run.json` or `study.json`."""
    folder = file.parent
    try:
        about = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        return Known(folder, kind, {}, f"{file} cannot be read ({error}).", damaged=True, study=study)
    if not is_ours(about, kind):
        return Known(folder, kind, {}, f"{file} is none of warmrl's.", study=study)
    return Known(folder, "measurement" if "targets" in about else kind, about, study=study)


def is_ours(about: Any, kind: str) -> bool:
    """Whether a file's content is what warmrl writes."""
    if not isinstance(about, dict) or not all(isinstance(about.get(one), str) for one in ("name", "state")):
        return False
    if kind == "study":
        return isinstance(about.get("cells"), list) and all(map(is_row, about["cells"]))
    stages, entries = about.get("stages"), about.get("entries", [])
    if not isinstance(stages, dict) or not isinstance(entries, list):
        return False
    stores = [table(one).get("store") for one in stages.values()]
    return all(isinstance(one, str) for one in [*stores, *entries])


def changed(one: Known) -> float:
    """When it last said something, in seconds since 1970."""
    file = one.folder / (STUDY_FILE if one.kind == "study" else RUN_FILE)
    try:
        return file.stat().st_mtime
    except OSError:
        return 0.0


def opened(folder: Path, kind: str) -> Run | Study:
    """A run or study to be followed, looked at once."""
    found: Run | Study = Study(folder) if kind == "study" else Run(folder)
    found.poll()
    return found


def followed(target: str | None) -> tuple[Run | Study, str]:
    """What somebody means to look at, and a word on the choice where it needs one. Raises `UsageError`."""
    if target is not None:
        for folder in (Path(target), home() / target):
            for file, kind in ((STUDY_FILE, "study"), (RUN_FILE, "run")):
                if (folder / file).is_file():
                    return opened(refuse_wrong(read(folder / file, kind)).folder, kind), ""
        raise UsageError(f"`{target}` is no run or study: neither it nor {home() / target} has a {RUN_FILE}.")
    there = [one for one in known_runs() if not one.wrong and one.kind in ("run", "study")]
    there.sort(key=changed, reverse=True)
    for one in there:
        if one.about["state"] == "running" and (found := opened(one.folder, one.kind)).state == "running":
            return found, ""
    return newest_ended(there)


def newest_ended(there: Sequence[Known]) -> tuple[Run | Study, str]:
    """The newest finished of runs and studies that no process is at, or else the newest. Raises `UsageError`."""
    finished = [one for one in there if one.about["state"] == "finished"]
    for one in [*finished, *there]:
        return opened(one.folder, one.kind), f"Nothing runs in {home()}; this is the newest that ran."
    raise UsageError(f"{home()} holds no run; give a run folder, or set WARMRL_HOME.")


def refuse_wrong(one: Known) -> Known:
    """What can be followed. Raises `UsageError`."""
    if one.wrong:
        raise UsageError(f"{one.wrong} Run its recipe again, or choose another run.")
    if one.kind == "measurement":
        raise UsageError(f"{one.folder} is an evaluation or a comparison, not a run; see {one.folder / 'report.md'}.")
    return one


def wrong_ones(found: Sequence[Known]) -> Iterator[str]:
    """What is wrong with some of them, a sentence each."""
    return (one.wrong for one in found if one.wrong)
