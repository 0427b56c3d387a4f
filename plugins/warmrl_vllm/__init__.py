"""The sampler `vllm`: samples with vLLM, in this process or by a server."""

from warmrl.api import Register, hookimpl
from warmrl_vllm.config import VLLMConfig


@hookimpl
def warmrl_register_samplers(register: Register) -> None:
    """Add the sampler."""
    register("vllm", config=VLLMConfig, implementation="warmrl_vllm.sampler:VLLM", revision="1")
