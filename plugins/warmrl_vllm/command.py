"""`warmrl vllm-serve`: a vLLM server that runs on this machine sample from."""

from __future__ import annotations

import ipaddress
import os
from typing import Annotated

import typer

from warmrl.api import UsageError


def vllm_serve(
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.")] = 8600,
    host: Annotated[str, typer.Option(help="Address to listen on; one that others reach needs a token.")] = "127.0.0.1",
    memory: Annotated[float, typer.Option(help="Share of the device's memory, 0 to 1.")] = 0.9,
    max_model_len: Annotated[int | None, typer.Option(help="Most tokens of a prompt with its completion.")] = None,
    eager: Annotated[bool, typer.Option("--eager", help="No compilation and no CUDA graphs.")] = False,
    sleep: Annotated[bool, typer.Option("--sleep", help="Give memory back while its only client trains.")] = False,
) -> None:
    """Serve a sampler `vllm` (`urls`). Model and weights come from the run that uses it."""
    from warmrl_vllm.client import TOKEN
    from warmrl_vllm.engine import EngineSettings, imported
    from warmrl_vllm.server import Server
    from warmrl_vllm.service import Service

    token = os.environ.get(TOKEN)
    if not token and not loopback(host):
        raise UsageError(
            f"`--host {host}` can be reached by others, who could read files and use the device. Leave it at "
            f"127.0.0.1, or set a secret as {TOKEN} in the environment of the server and of the runs."
        )
    settings = EngineSettings(memory, max_model_len, eager, sleep)
    imported()
    try:
        server = Server((host, port), Service(settings), token)
    except OSError as error:
        raise UsageError(f"Cannot listen on {host}, port {port}: {error}") from error
    typer.echo(f"vLLM server at {server.url}: it takes its model from the first run that uses it.")
    server.work()


def loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
