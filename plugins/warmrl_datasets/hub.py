"""Finds the files of a dataset of the Hub: in a local copy, in the Hub's cache, or on the Hub, pinned to a commit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

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

    def __init__(self, config: HubConfig) -> None:
        folder, self._commit = located(self.hub_id, config)
        shared = {name: getattr(config, name) for name in ("split", "limit", "max_pixels")}
        super().__init__(FilesConfig(path=str(folder), **shared, **self.columns))

    def pinned(self) -> Mapping[str, str]:
        """The Hub's commit, when the files came from there."""
        return {"data_revision": self._commit} if self._commit else {}

    def _columns(self, file: Path, known: list[str]) -> dict[str, str]:
        """The columns of this dataset alone: another that has the name of a role is only kept in `extra`."""
        return {role: name for role, name in super()._columns(file, known).items() if role in self.columns}

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
    """The snapshot that holds a split; asks the network only when the cache has none. Raises `DataError`."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    shards = [f"{split}-*.parquet", f"data/{split}-*.parquet"]
    try:
        there = Path(snapshot_download(hub_id, repo_type="dataset", revision=revision, local_files_only=True))
        found = [file for pattern in shards for file in there.glob(pattern)]
        if found and not shards_missing(found):
            return there
    except (LocalEntryNotFoundError, HFValidationError, ValueError):
        pass
    try:
        return Path(
            snapshot_download(
                hub_id, repo_type="dataset", revision=revision, allow_patterns=shards, etag_timeout=PATIENCE
            )
        )
    except (HfHubHTTPError, HFValidationError, OSError, ValueError) as error:
        at = f" at {revision}" if revision else ""
        raise DataError(
            f"The dataset {hub_id}{at} is not in the Hub's cache and could not be fetched ({type(error).__name__}). "
            f"Set `path` to a folder with a copy of its files, or run where the Hub can be reached."
        ) from None
