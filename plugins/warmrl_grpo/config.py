"""Settings of `grpo`. Defaults are EasyR1's published ones unless a line says otherwise (methods A.4)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from warmrl.api import MethodConfig


class GRPOConfig(MethodConfig):
    """Group-relative policy optimisation (Shao et al. 2024, arXiv:2402.03300)."""

    policy: str = "warm"
    """The stage whose policy this one starts from."""
    samples_per_prompt: Annotated[int, Field(ge=2)] = 8
    """Completions per prompt: the group G that an advantage is relative to."""
    clip_low: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """The ratio is clipped from below at 1 - clip_low."""
    clip_high: Annotated[float, Field(gt=0)] = 0.3
    """The ratio is clipped from above at 1 + clip_high (clip-higher, DAPO)."""
    dual_clip: Annotated[float | None, Field(gt=1)] = 3.0
    """A negative advantage weighs at most this many times its size (Ye et al. 2020, arXiv:1912.09729)."""
    scale_advantages: bool = True
    """Divide advantages by the group's standard deviation (GRPO); false leaves them centred (Dr. GRPO)."""
    reference_kl: Annotated[float, Field(ge=0)] = 0.0
    """Weight of the k3 divergence to the stage's starting policy. 0: DAPO and TRL 1.16; EasyR1 has 0.01."""
    importance: Literal["truncated", "sequence", "off"] = "truncated"
    """Weighs the advantages where the sampler has weights of its own (vLLM) by how much likelier the policy was to
    sample them: each token for itself, the product over its completion (one more scoring pass), or not at all."""
    importance_cap: Annotated[float, Field(ge=1)] = 2.0
    """The largest such weight. 2: TRL's when it took up truncated importance sampling (trl#3867); TRL 1.16 has 3."""

    def holds(self) -> frozenset[str]:
        """The reference, when it is asked for."""
        return frozenset({"reference"} if self.reference_kl else ())
