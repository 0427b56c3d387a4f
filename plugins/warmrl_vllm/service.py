"""What a server does, whoever asks: one engine, its weights' version, the images it was sent."""

from __future__ import annotations

import shutil
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from warmrl.api import ServiceError
from warmrl_vllm import transfer, wire
from warmrl_vllm.engine import Engine, EngineSettings

# Images kept, in bytes of their pixels.
IMAGE_BYTES = 4 * 2**30


class Refused(Exception):
    """A request that can't be answered: a status and what to say."""

    def __init__(self, status: int, **answer: Any) -> None:
        super().__init__(answer.get("error", ""))
        self.status, self.answer = status, answer


class Service:
    """One engine. Its methods, all but `health`, are called one at a time and from one thread.

    Args:
        settings: How engines are started.
        start: Makes an engine of (folder, dtype, settings).
    """

    def __init__(self, settings: EngineSettings, start: Callable[..., Any] = Engine) -> None:
        self.settings, self.start = settings, start
        self.engine: Any = None
        self.folder: TemporaryDirectory[str] | None = None
        self.model: tuple[str, str] | None = None
        self.version: str | None = None
        self.images: OrderedDict[str, Any] = OrderedDict()

    def health(self) -> dict[str, Any]:
        """Alive, and with which model and weights."""
        sleeps = bool(self.engine and self.engine.sleeps)
        return {"protocol": wire.VERSION, "model": self.model, "version": self.version, "sleeps": sleeps}

    def load(self, body: dict[str, Any]) -> dict[str, Any]:
        """Start an engine for a model; another one that runs is ended first."""
        wanted = str(body["fingerprint"]), str(body["dtype"])
        if wanted != self.model:
            self.close()
            self.folder = TemporaryDirectory(prefix="warmrl-vllm-")
            folder = Path(self.folder.name) / "model"
            try:
                shutil.copytree(Path(str(body["folder"])), folder)
            except OSError as error:
                raise ServiceError(f"The model's settings in {body['folder']} cannot be read: {error}") from error
            self.engine = self.start(folder, wanted[1], self.settings)
            self.model = wanted
        return self.health()

    def sync(self, body: dict[str, Any]) -> dict[str, Any]:
        """Take weights from files; until all are taken it has none."""
        if self.engine is None:
            raise Refused(409, error="it has no model yet")
        self.version = None
        try:
            self.engine.load(transfer.read(body["files"]))
        except BaseException:
            self.close()  # what took a part of the weights would take the next ones wrongly
            raise
        self.version = str(body["version"])
        return self.health()

    def sample(self, body: dict[str, Any]) -> dict[str, Any]:
        """Completions by the weights that are named."""
        self._expect(body["version"])
        asks = [wire.ask(one) for one in body["asks"]]
        images = self._images(body["images"], [key for one in asks for key in one.prompt.images])
        found = self.engine.sample(asks, wire.rules(body["rules"]), images.__getitem__)
        return {"drawn": [wire.plain(one) for one in found]}

    def rest(self, _body: dict[str, Any]) -> dict[str, Any]:
        """Give memory back, if it was started to; then its weights must come again."""
        if self.engine is not None and self.version is not None and self.engine.rest():
            self.version = None
        return self.health()

    def _expect(self, version: Any) -> None:
        if self.version is None or version != self.version:
            held = f"the weights `{self.version}`" if self.version else "no weights"
            raise Refused(
                409,
                error=f"it has {held} and was asked for `{version}`: it was started again, or another run uses it. "
                "The same command sends them again",
            )

    def _images(self, new: dict[str, str], wanted: list[str]) -> dict[str, Any]:
        for key, packed in new.items():
            self.images[key] = wire.unpacked_image(packed)
        if missing := [key for key in dict.fromkeys(wanted) if key not in self.images]:
            raise Refused(409, missing=missing)
        found = {key: self.images[key] for key in wanted}
        for key in found:
            self.images.move_to_end(key)
        held = sum(3 * one.width * one.height for one in self.images.values())
        while held > IMAGE_BYTES and len(self.images) > len(found):
            _, oldest = self.images.popitem(last=False)
            held -= 3 * oldest.width * oldest.height
        return found

    def close(self) -> None:
        """End the engine."""
        self.model = self.version = None
        if self.engine is not None:
            self.engine.close()
        if self.folder is not None:
            self.folder.cleanup()
        self.engine = self.folder = None
