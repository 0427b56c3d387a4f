"""An engine in each process of the run, on the process's own device."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from warmrl.api import Image, ServiceError
from warmrl_vllm.asks import Ask, Drawn, Rules
from warmrl_vllm.config import VLLMConfig
from warmrl_vllm.engine import Engine, EngineSettings
from warmrl_vllm.model_folder import describe


class Colocated:
    """Starts an engine when it is first needed, and another one for another architecture."""

    def __init__(self, config: VLLMConfig, processes: Any) -> None:
        self.processes = processes
        launched = processes.world > 1
        self.settings = EngineSettings(config.memory, config.max_model_len, config.eager, config.sleep, launched)
        self.engine: Engine | None = None
        self.running: tuple[str, str] | None = None
        self.folder: TemporaryDirectory[str] | None = None
        self.model: Any = lambda: None
        self.empty = True

    def sync(self, policy: Any, changed: bool) -> None:
        """See `Backend`."""
        with self.processes.together():
            started = self._start(policy)
        assert self.engine is not None
        if not (changed or started or self.empty):
            return
        self.empty = True
        weights = policy.weights()
        with self.processes.together():
            try:
                self.engine.load(weights)
            finally:
                for _ in weights:  # the others go through them together, whatever happens here
                    pass
        self.empty = False

    def _start(self, policy: Any) -> bool:
        """Whether an engine had to be started for this policy. Raises `UsageError` or `ServiceError`."""
        if self.running and self.model() is policy.model:
            return False
        folder: TemporaryDirectory[str] = TemporaryDirectory(prefix="warmrl-vllm-")
        try:
            wanted = describe(policy, Path(folder.name)), str(policy.compute).removeprefix("torch.")
        except OSError as error:
            raise ServiceError(f"The model's settings cannot be written for vLLM: {error}") from error
        self.model = weakref.ref(policy.model)
        if wanted == self.running:
            folder.cleanup()
            return False
        self.close()
        self.engine = Engine(Path(folder.name), wanted[1], self.settings)
        self.running, self.folder = wanted, folder
        return True

    def sample(self, asks: Sequence[Ask], rules: Rules, images: dict[str, Image]) -> list[list[Drawn]]:
        """See `Backend`."""
        assert self.engine is not None
        return self.engine.sample(asks, rules, lambda key: images[key].load())

    def rest(self) -> None:
        """See `Backend`."""
        if self.engine is not None and not self.empty:
            self.empty = self.engine.rest()

    def close(self) -> None:
        """See `Backend`."""
        if self.engine is not None:
            self.engine.close()
        if self.folder is not None:
            self.folder.cleanup()
        self.engine = self.folder = self.running = None
        self.empty = True
