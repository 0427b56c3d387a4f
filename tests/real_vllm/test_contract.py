"""The contract of samplers, kept by a real vLLM: in the process, and behind a server of the same engine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
from fake_engine import serving
from tiny_checkpoints import write_qwen2_5_vl

from warmrl.engine.checkpoints import folder_source
from warmrl.engine.policy import Policy
from warmrl.testing import SamplerContract


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A tiny Qwen2.5-VL."""
    return folder_source(write_qwen2_5_vl(tmp_path_factory.mktemp("qwen")))


class TestInTheProcess(SamplerContract):
    """An engine of its own."""

    plugin: ClassVar[str] = "warmrl_vllm"
    name: ClassVar[str] = "vllm"
    settings: ClassVar[dict[str, Any]] = {"eager": True, "memory": 0.05, "max_model_len": 512}

    source: ClassVar[Any] = None

    def policy(self) -> Policy:
        """A tiny Qwen2.5-VL: vLLM has no use for the pocket."""
        return Policy.load(self.source, trained=False)

    @pytest.fixture(scope="class")
    def sampler(self, checkpoint: Any) -> Iterator[Any]:
        """As the contract's; served by an engine's thread when the class says so."""
        type(self).source = checkpoint
        with self.settled() as settings:
            sampler = self.registration().load()(self.config(**settings), self.processes())
            sampler.sync(self.policy())
            yield sampler
            sampler.rest()
            sampler.close()

    def settled(self) -> Any:
        """Settings for as long as the sampler is used."""
        from contextlib import nullcontext

        return nullcontext({})


class TestByAServer(TestInTheProcess):
    """The same engine behind HTTP; in a process of its own it is in `test_runs`."""

    def settled(self) -> Any:
        from contextlib import contextmanager

        from warmrl_vllm.engine import Engine, EngineSettings

        @contextmanager
        def one() -> Iterator[dict[str, Any]]:
            settings = EngineSettings(0.05, 512, eager=True)
            with serving(start=lambda folder, dtype, _: Engine(folder, dtype, settings)) as server:
                yield {"urls": [server.url]}

        return one()
