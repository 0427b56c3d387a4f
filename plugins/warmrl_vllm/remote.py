"""Servers on this machine: the first process sends weights to all of them, each process its own blocks to one."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

from warmrl.api import Image, ServiceError, UsageError, WarmrlError
from warmrl_vllm import transfer, wire
from warmrl_vllm.asks import Ask, Drawn, Prompt, Rules
from warmrl_vllm.client import Client, Missing
from warmrl_vllm.config import VLLMConfig
from warmrl_vllm.model_folder import describe

T = TypeVar("T")


class Remote:
    """Samples by servers."""

    def __init__(self, config: VLLMConfig, processes: Any) -> None:
        if processes.machines > 1:
            raise UsageError("`sampler.urls` are servers on one machine; leave them out: an engine in each process.")
        self.config, self.processes = config, processes
        self.clients = [Client(url, config.deadline) for url in config.urls]
        self.mine = Asker(self.clients[processes.rank % len(self.clients)])
        self.sleeps = False

    def sync(self, policy: Any, changed: bool) -> None:
        """See `Backend`. Raises the same `ServiceError` in all processes when a server fails."""
        with ExitStack() as stack:
            with self._together() as state:
                if self.processes.first:
                    folder = stack.enter_context(transfer.place(self.config.transfer))
                    needed = self._prepared(policy, folder, changed)
                    state["version"] = uuid.uuid4().hex[:8] if needed else self.mine.version
            if state["version"] == self.mine.version:
                return
            self.mine.version = state["version"]
            with self._together():
                weights = policy.weights()
                try:
                    if self.processes.first:
                        body = {"files": transfer.write(weights, folder, policy.compute)}
                        self._all(lambda one: one.post("/sync", body | {"version": self.mine.version}))
                finally:
                    for _ in weights:  # all processes go through them together, whatever happens here
                        pass

    def _prepared(self, policy: Any, folder: Path, changed: bool) -> bool:
        """Every server has the policy's model; whether one of them lacks its weights."""
        fingerprint = describe(policy, folder / "model")
        dtype = str(policy.compute).removeprefix("torch.")
        found = self._all(Client.health)
        for client, health in zip(self.clients, found, strict=True):
            if health.get("protocol") != wire.VERSION:
                raise client.failed(f"speaks version {health.get('protocol')} of the protocol, not {wire.VERSION}")
        body = {"folder": str(folder / "model"), "fingerprint": fingerprint, "dtype": dtype}
        other = [one.get("model") != [fingerprint, dtype] for one in found]
        for client, wanted in zip(self.clients, other, strict=True):
            if wanted:
                client.post("/load", body)
        self.sleeps = any(one.get("sleeps") for one in found)
        return changed or any(other) or any(one.get("version") != self.mine.version for one in found)

    @contextmanager
    def _together(self) -> Iterator[dict[str, Any]]:
        """What the first process fails in, all fail in; what it finds out, all know."""
        state: dict[str, Any] = {}
        try:
            yield state
        except (WarmrlError, OSError) as error:
            state["failure"] = str(error)
        state.update(self.processes.agree(state))
        if "failure" in state:
            raise ServiceError(state["failure"])

    def _all(self, what: Callable[[Client], T]) -> list[T]:
        """Of every server, at the same time."""
        with ThreadPoolExecutor(len(self.clients)) as pool:
            return list(pool.map(what, self.clients))

    def sample(self, asks: Sequence[Ask], rules: Rules, images: dict[str, Image]) -> list[list[Drawn]]:
        """See `Backend`."""
        return self.mine.sample(asks, rules, images)

    def rest(self) -> None:
        """See `Backend`. Only for a server that this process alone uses, and that was started with `--sleep`."""
        if self.sleeps and self.processes.world == 1:
            with suppress(ServiceError):  # the next sync says it
                self._all(lambda one: one.post("/rest", {}))

    def close(self) -> None:
        """See `Backend`. The servers stay."""
        for client in self.clients:
            client.close()


class Asker:
    """Asks one server for completions; each image goes there once.

    `version` names the weights that the server must have.
    """

    def __init__(self, client: Client) -> None:
        self.client = client
        self.version: str | None = None
        self.names: dict[str, str] = {}

    def sample(self, asks: Sequence[Ask], rules: Rules, images: dict[str, Image]) -> list[list[Drawn]]:
        """Completions of a block, in order, as many as were asked for. Raises `ServiceError`."""
        named, new = self._named([one.prompt for one in asks], images)
        renamed = [replace(one, prompt=prompt) for one, prompt in zip(asks, named, strict=True)]
        body = {"version": self.version, "rules": asdict(rules), "asks": wire.plain(renamed)}
        found = self._answers("/sample", body, "drawn", len(asks), new, images)
        return [self._read(lambda one: [wire.drawn(d) for d in one], one) for one in found]

    def _named(self, prompts: Sequence[Prompt], images: dict[str, Image]) -> tuple[list[Prompt], dict[str, str]]:
        """The prompts with images named by their pixels, and those images that the server has not had."""
        new: dict[str, str] = {}
        for key in dict.fromkeys(key for prompt in prompts for key in prompt.images):
            if key not in self.names:
                name, packed = wire.packed_image(images[key].load())
                if name not in self.names.values():
                    new[name] = packed
                self.names[key] = name
        return [replace(one, images=tuple(self.names[key] for key in one.images)) for one in prompts], new

    def _answers(
        self, path: str, body: dict[str, Any], field: str, count: int, new: dict[str, str], images: dict[str, Image]
    ) -> list[Any]:
        """The answer's list; images that the server has lost are sent once more."""
        try:
            answer = self.client.post(path, body | {"images": new})
        except Missing as missing:
            again = dict(wire.packed_image(images[key].load()) for key in images if self.names[key] in missing.keys)
            try:
                answer = self.client.post(path, body | {"images": new | again})
            except Missing as error:
                raise self.client.failed("asks again for images that it was sent") from error
        found = answer.get(field)
        if not isinstance(found, list) or len(found) != count:
            given = len(found) if isinstance(found, list) else "no"
            raise self.client.failed(f"gave {given} answers to `{path}` for {count} prompts")
        return found

    def _read(self, read: Callable[[Any], T], value: Any) -> T:
        try:
            return read(value)
        except (KeyError, TypeError, ValueError) as error:
            raise self.client.failed(f"gave an answer that cannot be read ({type(error).__name__}: {error})") from error
