"""Settings of the sampler `vllm`."""

from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from warmrl.api import NOT_SEMANTIC, SamplerConfig


class VLLMConfig(SamplerConfig):
    """Sampling with vLLM, whose weights are the policy's after every update."""

    urls: Annotated[list[str], Field(json_schema_extra=NOT_SEMANTIC)] = []
    """Servers on this machine (`http://127.0.0.1:8600`, started by `warmrl vllm-serve`); process r asks the (r modulo
    their number)th. Empty: an engine in each process, on its own device."""
    deadline: Annotated[float, Field(gt=0, json_schema_extra=NOT_SEMANTIC)] = 1800.0
    """Seconds that a server has for a block of prompts or for taking weights; then the run ends with a checkpoint."""
    memory: Annotated[float, Field(gt=0, lt=1, json_schema_extra=NOT_SEMANTIC)] = 0.4
    """Share of the device's memory for an engine in the process: weights and keys and values (a server has its own)."""
    max_model_len: Annotated[int | None, Field(ge=1, json_schema_extra=NOT_SEMANTIC)] = None
    """Most tokens of a prompt with its completion, in the process. Unset: the model's own limit, for which keys and
    values must fit into `memory`."""
    eager: Annotated[bool, Field(json_schema_extra=NOT_SEMANTIC)] = False
    """No compilation and no CUDA graphs, in the process: starts sooner, samples slower."""
    sleep: Annotated[bool, Field(json_schema_extra=NOT_SEMANTIC)] = True
    """On an accelerator an engine in the process gives its memory back while the policy trains."""
    transfer: Annotated[str | None, Field(json_schema_extra=NOT_SEMANTIC)] = None
    """Folder through which weights go to servers. Unset: shared memory, or the temporary folder where there is none."""

    @field_validator("urls")
    @classmethod
    def _here(cls, urls: list[str]) -> list[str]:
        for url in urls:
            parts = urlsplit(url)
            if parts.scheme != "http" or parts.hostname not in ("127.0.0.1", "localhost", "::1"):
                raise ValueError("write `http://127.0.0.1:PORT`: weights go to servers through this machine's memory")
        return [url.rstrip("/") for url in urls]

    def takes(self, shapes: Any, *, device: int, **how: int) -> int:
        """Its share of the device, in the process; nothing of it where servers have an engine each."""
        return 0 if self.urls else round(self.memory * device)
