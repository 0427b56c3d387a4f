"""An engine of canned answers, for servers under test where there is no vLLM."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

from warmrl_vllm.asks import Ask, Drawn, Rules
from warmrl_vllm.engine import EngineSettings
from warmrl_vllm.server import Server
from warmrl_vllm.service import Service


class FakeEngine:
    """Keeps the weights it was given; a completion is the seed's last digits, its log-probability the image's pixel."""

    def __init__(self, folder: Path, dtype: str, settings: EngineSettings) -> None:
        self.config, self.dtype, self.sleeps = (folder / "config.json").read_text(), dtype, settings.sleep
        self.weights: dict[str, Any] = {}
        self.opened: list[str] = []

    def load(self, weights: Any) -> None:
        self.weights = dict(weights)

    def sample(self, asks: Sequence[Ask], rules: Rules, image: Callable[[str], Any]) -> list[list[Drawn]]:
        return [[Drawn((seed % 7, rules.stops[0]), (-1.0, self._of(one, image))) for seed in one.seeds] for one in asks]

    def _of(self, ask: Any, image: Callable[[str], Any]) -> float:
        self.opened += ask.prompt.images
        return -sum(float(image(key).getpixel((0, 0))[0]) for key in ask.prompt.images)

    def rest(self) -> bool:
        return self.sleeps

    def close(self) -> None:
        pass


@contextmanager
def serving(port: int = 0, token: str | None = None, start: Any = FakeEngine, sleep: bool = False) -> Iterator[Server]:
    """A server in this process; it ends with the block."""
    server = Server(("127.0.0.1", port), Service(EngineSettings(0.5, sleep=sleep), start), token)
    working = Thread(target=server.work, daemon=True)
    working.start()
    try:
        yield server
    finally:
        server.jobs.put(None)
        working.join(20)
