"""`warmrl vllm-serve`: a vLLM server that runs on this machine sample from."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from warmrl.api import UsageError


def vllm_serve(
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.")] = 8600,
    memory: Annotated[float, typer.Option(help="Share of the device's memory, 0 to 1.")] = 0.9,
    max_model_len: Annotated[int | None, typer.Option(help="Most tokens of a prompt with its completion.")] = None,
    eager: Annotated[bool, typer.Option("--eager", help="No compilation and no CUDA graphs.")] = False,
    sleep: Annotated[bool, typer.Option("--sleep", help="Give memory back while its only client trains.")] = False,
) -> None:
    """Serve a sampler `vllm` (`urls`) on this machine. Model and weights come from the run that uses it.

    A secret in WARMRL_VLLM_TOKEN, for the server and the runs, keeps other users of the machine out.
    """
    from warmrl_vllm.client import TOKEN
    from warmrl_vllm.engine import EngineSettings, imported
    from warmrl_vllm.server import Server
    from warmrl_vllm.service import Service

    settings = EngineSettings(memory, max_model_len, eager, sleep)
    imported()
    try:
        server = Server(("127.0.0.1", port), Service(settings), os.environ.get(TOKEN))
    except OSError as error:
        raise UsageError(f"Cannot listen on port {port}: {error}") from error
    typer.echo(f"vLLM server at {server.url}: it takes its model from the first run that uses it.")
    server.work()
