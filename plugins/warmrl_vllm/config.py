"""Settings of the sampler `vllm`."""

from warmrl.api import SamplerConfig


class VLLMConfig(SamplerConfig):
    """Sampling with vLLM, whose weights are the policy's after every update."""
