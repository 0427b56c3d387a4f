"""Settings of the sampler `transformers`."""

from typing import Annotated

from pydantic import Field

from warmrl.api import SamplerConfig


class TransformersConfig(SamplerConfig):
    """Sampling with the policy's own model and weights, in this process."""

    rows: Annotated[int, Field(ge=1)] = 512
    """Most completions written at once; their keys and values are what takes memory."""
