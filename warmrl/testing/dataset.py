"""The contract of datasets."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import ValidationError

from warmrl.domain.config import Config
from warmrl.domain.dataset import Dataset, DatasetConfig
from warmrl.domain.errors import UsageError
from warmrl.domain.problem import Image, Problem, Text
from warmrl.testing.plugin import PluginContract


class DatasetContract(PluginContract):
    """Problems with unique, stable ids, golds, and images that open, the same every time."""

    kind: ClassVar[str] = "dataset"
    base: ClassVar[type] = Dataset
    config_base: ClassVar[type[Config]] = DatasetConfig
    opened: ClassVar[int] = 8
    """Problems whose images are opened."""

    def table(self, folder: Path) -> Mapping[str, Any]:
        """A recipe table, without `use`; write files that it needs into `folder`."""
        return self.settings

    def dataset(self, folder: Path, **settings: Any) -> Any:
        """The dataset under test."""
        registration = self.registration()
        return registration.load()(registration.config.model_validate({**self.table(folder), **settings}))

    def test_problems_are_whole(self, tmp_path: Path) -> None:
        problems = self.dataset(tmp_path).problems()
        assert len(problems) > 0
        for problem in problems:
            assert isinstance(problem, Problem)
            assert problem.id
            assert problem.gold.strip()
            assert problem.kind
            assert problem.messages[-1].role == "user"
            parts = [part for message in problem.messages for part in message.parts]
            assert all(isinstance(part, Text | Image) for part in parts)
            assert any(isinstance(part, Text) and part.text.strip() for part in parts)
            assert all(image.key for image in problem.images)

    def test_ids_are_unique(self, tmp_path: Path) -> None:
        ids = [problem.id for problem in self.dataset(tmp_path).problems()]
        assert len(set(ids)) == len(ids)

    def test_images_open(self, tmp_path: Path) -> None:
        pixels: dict[str, bytes] = {}
        for problem in self.dataset(tmp_path).problems()[: self.opened]:
            for image in problem.images:
                opened = image.load()
                assert opened.mode == "RGB"
                assert min(opened.size) > 0
                assert pixels.setdefault(image.key, opened.tobytes()) == image.load().tobytes()

    def test_the_same_every_time(self, tmp_path: Path) -> None:
        one, other = self.dataset(tmp_path), self.dataset(tmp_path)
        assert one.fingerprint()
        assert one.fingerprint() == other.fingerprint() == one.fingerprint()
        assert list(one.problems()) == list(other.problems())

    def test_limit_takes_the_first(self, tmp_path: Path) -> None:
        every = self.dataset(tmp_path).problems()
        count = max(1, len(every) // 2)
        assert list(self.dataset(tmp_path, limit=count).problems()) == list(every[:count])

    def test_an_unknown_split_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises((UsageError, ValidationError)):
            self.dataset(tmp_path, split="no such split").problems()
