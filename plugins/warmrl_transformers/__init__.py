"""The sampler `transformers`: samples from the policy's own weights, prompts computed once."""

from warmrl.api import Register, hookimpl
from warmrl_transformers.config import TransformersConfig


@hookimpl
def warmrl_register_samplers(register: Register) -> None:
    """Add the sampler."""
    implementation = "warmrl_transformers.sampler:Transformers"
    register("transformers", config=TransformersConfig, implementation=implementation, revision="1")
