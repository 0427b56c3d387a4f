"""The sampler `vllm`: samples with vLLM, in this process or by a server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warmrl.api import Register, hookimpl
from warmrl_vllm.config import VLLMConfig

if TYPE_CHECKING:
    import typer


@hookimpl
def warmrl_register_samplers(register: Register) -> None:
    """Add the sampler."""
    register("vllm", config=VLLMConfig, implementation="warmrl_vllm.sampler:VLLM", revision="1")


@hookimpl
def warmrl_register_commands(app: typer.Typer) -> None:
    """Add `warmrl vllm-serve`."""
    from warmrl_vllm.command import vllm_serve

    app.command("vllm-serve")(vllm_serve)
