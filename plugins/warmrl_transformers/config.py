"""Settings of the sampler `transformers`."""

from typing import Annotated, Any, ClassVar

from pydantic import Field

from warmrl.api import SamplerConfig

# Completions that share a prompt's keys and values (`warmrl.packed.cache`).
GROUP = 4


class TransformersConfig(SamplerConfig):
    """Sampling with the policy's own model and weights, in this process."""

    gathers: ClassVar[bool] = True

    rows: Annotated[int, Field(ge=1)] = 512
    """Most completions written at once; their keys and values are what takes memory."""

    def takes(
        self, shapes: Any, *, device: int, width: int, completions: int, per_prompt: int, prompt: int, longest: int
    ) -> int:
        """Keys and values of `rows` completions, up to `GROUP` of which share a prompt's; and a step's logits.

        One layer's are there twice while they are laid out anew. The logits' distribution is held in float32 three
        times (logits, log p, p) and in float64 twice (p, its sums).
        """
        rows = min(self.rows, completions)
        size = min(GROUP, per_prompt)
        columns = -(-rows // size) * (prompt + size * longest)
        decoder = shapes.decoder
        cache = 2 * columns * (decoder.whole + 1) * decoder.keys * width
        return cache + rows * shapes.vocabulary * (3 * 4 + 2 * 8)
