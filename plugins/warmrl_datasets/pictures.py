"""Images of a dataset that lie in a folder of their own, under one policy for bad ones."""

from __future__ import annotations

import os.path
from pathlib import Path
from typing import Literal

from warmrl.api import DataError, Image
from warmrl_datasets.images import Source, grey
from warmrl_datasets.rows import Row

Policy = Literal["error", "skip", "replace", "text"]


class Pictures:
    """Images by their paths relative to `folder`. `bad` has what is wrong, by path, for all policies but `error`.

    `quick` looks only whether a file is there and isn't empty, and takes path and size as the image's key; otherwise
    each file is read once, its header, size and end are checked, and its key is a hash of its bytes.
    """

    def __init__(self, folder: Path, policy: Policy, max_pixels: int, quick: bool = False) -> None:
        self.folder, self.policy, self.max_pixels, self.quick = folder, policy, max_pixels, quick
        self.bad: dict[str, str] = {}
        self._known: dict[str, Image | None] = {}

    def open(self, row: Row, path: str) -> Image | None:
        """The image; None for a bad one under `skip` and `text`, a grey square under `replace`. Raises `DataError`."""
        if path not in self._known:
            try:
                self._known[path] = self._checked(row, path)
            except DataError as error:
                if self.policy == "error":
                    raise
                self.bad[path] = str(error)
                self._known[path] = Image("grey", grey) if self.policy == "replace" else None
        return self._known[path]

    def notes(self, problems: int) -> list[str]:
        """A sentence on bad images: `problems` were left out, show a grey square, or are text alone."""
        if not self.bad:
            return []
        what = {"skip": "are left out", "replace": "show a grey square", "text": "are text alone"}[self.policy]
        return [
            f"{problems} problems {what} for {len(self.bad)} bad images; the first: {next(iter(self.bad.values()))}"
        ]

    def _checked(self, row: Row, path: str) -> Image:
        inside = os.path.normpath(path.lstrip("/"))
        if not path or "\0" in path or Path(inside).parts[:1] in ((), ("..",)):
            raise DataError(
                f"{row}: the image path {path!r:.200} leaves {self.folder}; paths are relative and stay inside. Mend "
                f"the row, or name the folder that they start from."
            )
        source = Source(str(row), self.folder / inside, self.max_pixels)
        if not self.quick:
            return Image(source.check(decode=self.policy != "error"), source.load)
        try:
            size = (self.folder / inside).stat().st_size
        except OSError:
            size = 0
        if not size:
            source.check(decode=False)
        return Image(f"{inside}:{size}", source.load)
