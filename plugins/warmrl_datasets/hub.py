"""Finds the files of a dataset of the Hub: in a local copy, in the Hub's cache, or on the Hub, pinned to a commit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from warmrl.api import DataError
from warmrl_datasets.config import FilesConfig, HubConfig
from warmrl_datasets.files import Files
from warmrl_datasets.rows import Row, shards_missing

# Seconds after which a Hub that doesn't answer counts as out of reach.
PATIENCE = 10


class HubDataset(Files):
    """A dataset with fixed columns, from Parquet files named as the Hub names them; no script of it is ever run."""

    hub_id: ClassVar[str]
    columns: ClassVar[Mapping[str, str]]
    """Roles of `files` (question, answer, images, id) -> columns."""
    needed: ClassVar[tuple[str, ...]] = ()
    """Columns without a role that every file has."""

    def __init__(self, config: HubConfig) -> None:
        folder, self._commit = self._located(config)
        shared = {name: getattr(config, name) for name in ("split", "limit", "max_pixels", "on_bad_image")}
        super().__init__(FilesConfig(path=str(folder), **shared, **self.columns))

    def pinned(self) -> Mapping[str, str]:
        """The Hub's commit, when the files came from there."""
        return {"data_revision": self._commit} if self._commit else {}

    def _columns(self, file: Path, known: list[str]) -> dict[str, str]:
        """The columns of this dataset alone: another that has the name of a role is only kept in `extra`."""
        for column in self.needed:
            if column not in known:
                raise DataError(
                    f"{file} has no column `{column}`, which {self.hub_id} has on the Hub; it has "
                    f"{', '.join(f'`{k}`' for k in known)}. Fetch the dataset again, or add the column."
                )
        return {role: name for role, name in super()._columns(file, known).items() if role in self.columns}

    def _located(self, config: Any) -> tuple[Path, str | None]:
        """Where the files are, and the Hub's commit if they are its. Raises `DataError`."""
        return located(self.hub_id, config)

    def _unnamed(self, row: Row, place: int) -> str:
        """The split and the row's place in it, which shards do not change."""
        return f"{self.config.split}:{place}"


def located(hub_id: str, config: HubConfig) -> tuple[Path, str | None]:
    """The folder of the files, and the commit when it is the Hub's. Raises `DataError`."""
    if config.path:
        folder = Path(config.path).expanduser()
        if not folder.is_dir():
            raise DataError(
                f"{folder} does not exist; `path` is a folder with the files of {hub_id} as the Hub has them "
                f"(`data/{config.split}-00000-of-00001.parquet`). Copy them there, or leave `path` out to fetch them."
            )
        return folder, None
    folder = fetched(hub_id, config.data_revision, config.split)
    return folder, folder.name


def fetched(hub_id: str, revision: str | None, split: str) -> Path:
    """The snapshot that holds a split. Raises `DataError`."""
    return snapshot(hub_id, revision, [f"{split}-*.parquet", f"data/{split}-*.parquet"])


def snapshot(hub_id: str, revision: str | None, patterns: list[str], every: bool = False) -> Path:
    """The folder with the files of these patterns; asks the network only when the cache has none. Raises `DataError`.

    With `every` the cache must hold a file for each pattern.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        there = Path(snapshot_download(hub_id, repo_type="dataset", revision=revision, local_files_only=True))
        found = [file for pattern in patterns for file in there.glob(pattern)]
        whole = all(any(there.glob(pattern)) for pattern in patterns) if every else bool(found)
        if whole and not shards_missing(found):
            return there
    except (LocalEntryNotFoundError, HFValidationError, ValueError):
        pass
    try:
        return Path(
            snapshot_download(
                hub_id, repo_type="dataset", revision=revision, allow_patterns=patterns, etag_timeout=PATIENCE
            )
        )
    except (HfHubHTTPError, HFValidationError, OSError, ValueError) as error:
        at = f" at {revision}" if revision else ""
        raise DataError(
            f"The dataset {hub_id}{at} is not in the Hub's cache and could not be fetched ({type(error).__name__}). "
            f"Set `path` to a folder with a copy of its files, or run where the Hub can be reached."
        ) from None
