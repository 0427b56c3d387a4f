"""The entries of a study's cells, whose data is opened once for all cells that have it. No torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from warmrl.domain.dataset import Dataset
from warmrl.engine.entries import Entries
from warmrl.engine.storage import canonical
from warmrl.engine.study_file import Cell, StudyFile
from warmrl.engine.suites import Suite


@dataclass
class Opened:
    """Datasets with their fingerprints and suites that are open: most cells of a study have the same."""

    datasets: dict[str, Dataset[Any]] = field(default_factory=dict)
    fingerprints: dict[str, str] = field(default_factory=dict)
    suites: dict[str, Suite] = field(default_factory=dict)


@dataclass
class CellEntries(Entries):
    """One cell's entries."""

    opened: Opened = field(default_factory=Opened)

    def same_data(self, name: str) -> str:
        """What tables of the same data have in common."""
        kind, _, table = name.partition(".")
        return canonical([name, getattr(self.file.recipe, kind)[table].model_dump(mode="json")])

    def dataset(self, name: str) -> Dataset[Any]:
        """A table's dataset. Raises `DataError`."""
        same = self.same_data(name)
        if same in self.opened.datasets:
            self._datasets[name] = self.opened.datasets[same]
        self.opened.datasets[same] = super().dataset(name)
        return self._datasets[name]

    def data_parts(self, name: str) -> dict[str, Any]:
        """What identifies a dataset's problems."""
        same = self.same_data(name)
        if same in self.opened.fingerprints:
            self.dataset(name)  # whoever asks what was opened hears of it
            self._fingerprints[name] = self.opened.fingerprints[same]
        found = super().data_parts(name)
        self.opened.fingerprints[same] = self._fingerprints[name]
        return found

    def suite(self, name: str) -> Suite:
        """A table of held-out problems, opened. Raises `DataError`."""
        recipe = self.file.recipe
        tables = (recipe.suite.get(name) or recipe.data[name], recipe.answer, recipe.grader, recipe.second_opinion)
        same = canonical([name, *(one.model_dump(mode="json") if one else None for one in tables)])
        if same in self.opened.suites:
            self._suites[name] = self.opened.suites[same]
            self.dataset(self.table_of(name))
        self.opened.suites[same] = super().suite(name)
        return self._suites[name]


@dataclass
class StudyEntries:
    """The entries of all cells."""

    study: StudyFile
    store: Path
    opened: Opened = field(default_factory=Opened)
    _of: dict[Cell, Entries] = field(default_factory=dict)

    @cached_property
    def arms(self) -> dict[str, Entries]:
        """Each arm's, with the first seed."""
        return {arm: self.of(Cell(self.study.study.seeds[0], arm)) for arm in self.study.arms}

    def of(self, cell: Cell) -> Entries:
        """One cell's."""
        if cell not in self._of:
            self._of[cell] = CellEntries(self.study.recipe(cell), self.store, opened=self.opened)
        return self._of[cell]
