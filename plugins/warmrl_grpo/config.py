"""Settings of `grpo`. Defaults are EasyR1's published ones unless a line says otherwise (methods A.4)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from warmrl.api import ADDED, MethodConfig

Loss = Literal["grpo", "dapo", "dr_grpo", "gspo", "cispo"]

# What a loss's name sets where the recipe leaves it open; `grpo` has the defaults of the class.
PRESETS: dict[str, dict[str, Any]] = {
    "dapo": {"clip_low": 0.2, "clip_high": 0.28, "dual_clip": 0.0},
    "dr_grpo": {
        "normalise": "constant",
        "scale_advantages": False,
        "clip_low": 0.2,
        "clip_high": 0.2,
        "dual_clip": 0.0,
    },
    "gspo": {"normalise": "sequence", "clip_low": 3e-4, "clip_high": 4e-4, "dual_clip": 0.0},
    "cispo": {"clip_low": 1.0, "clip_high": 4.0, "dual_clip": 0.0},
}
# The ratio of a sequence is a mean over its tokens: a range this wide is one for tokens, and would clip nothing.
WIDE = 0.1
HORIZON = 10000


class GRPOConfig(MethodConfig):
    """Group-relative policy optimisation (Shao et al. 2024, arXiv:2402.03300) and its variants."""

    policy: str = "warm"
    """The stage whose policy this one starts from."""
    samples_per_prompt: Annotated[int, Field(ge=2)] = 8
    """Completions per prompt: the group G that an advantage is relative to."""
    loss: Annotated[Loss, Field(json_schema_extra=ADDED)] = "grpo"
    """The loss by its name; it sets the keys in brackets where the recipe leaves them open. `grpo`: the clipped ratio
    of each token (the defaults here, EasyR1's). `dapo`: the same (clip 0.2 / 0.28, no dual clip; Yu et al. 2025,
    arXiv:2503.14476; its dynamic sampling is `resample`). `dr_grpo`: the same (clip 0.2 / 0.2, no dual clip,
    `scale_advantages` false, `normalise` constant; Liu et al. 2025, arXiv:2503.20783). `gspo`: the clipped ratio of
    each completion (clip 3e-4 / 4e-4, no dual clip, `normalise` sequence; Zheng et al. 2025, arXiv:2507.18071).
    `cispo`: a clipped weight on every token's log-probability, no token left out (clip 1 / 4: from above alone;
    MiniMax 2025, arXiv:2506.13585; a weight of at most 5 as in ScaleRL, arXiv:2510.13786)."""
    clip_low: Annotated[float, Field(gt=0, le=1)] = 0.2
    """The ratio is clipped from below at 1 - clip_low; 1: not at all."""
    clip_high: Annotated[float, Field(gt=0)] = 0.3
    """The ratio is clipped from above at 1 + clip_high (clip-higher, DAPO)."""
    dual_clip: Annotated[float, Field(ge=0)] = 3.0
    """A negative advantage weighs at most this many times its size (Ye et al. 2020, arXiv:1912.09729); 0: no bound."""
    scale_advantages: bool = True
    """Divide advantages by the group's standard deviation (GRPO); false leaves them centred (Dr. GRPO)."""
    resample: Annotated[int, Field(ge=0, json_schema_extra=ADDED)] = 0
    """Groups whose rewards are all equal are left out, and prompts drawn for others at most so many times a step
    (DAPO's dynamic sampling, EasyR1's online filtering); if that is not enough, they fill the step up after all.
    Draws follow one another through the data whatever step they are for."""
    reference_kl: Annotated[float, Field(ge=0)] = 0.0
    """Weight of the k3 divergence to the stage's starting policy. 0: DAPO and TRL 1.16; EasyR1 has 0.01."""
    kl_target: Annotated[float | None, Field(gt=0, json_schema_extra=ADDED)] = None
    """The divergence (k3, nats per token) at which `reference_kl` stays; it falls below and rises above, starting from
    the value given (Ziegler et al. 2019, arXiv:1909.08593). VLAA-Thinker: 5e-4 from 1e-3 (methods B.5)."""
    kl_horizon: Annotated[float, Field(gt=0, json_schema_extra=ADDED)] = HORIZON
    """Completions over which `kl_target` changes `reference_kl` by at most a fifth (OpenRLHF's default)."""
    entropy_bonus: Annotated[float, Field(ge=0, json_schema_extra=ADDED)] = 0.0
    """Weight of the mean exact entropy of the trained tokens (nats), which the loss then rewards; a mean over tokens
    whatever `normalise` is. NoisyRollout: 1e-3 (methods A.4)."""
    importance: Literal["truncated", "sequence", "off"] = "truncated"
    """Weighs the advantages where the sampler has weights of its own (vLLM) by how much likelier the policy was to
    sample them: each token for itself, the product over its completion (one more scoring pass), or not at all."""
    importance_cap: Annotated[float, Field(ge=1)] = 2.0
    """The largest such weight. 2: TRL's when it took up truncated importance sampling (trl#3867); TRL 1.16 has 3."""

    @model_validator(mode="before")
    @classmethod
    def _preset(cls, table: Any) -> Any:
        """What the recipe writes goes before what the loss's name sets."""
        name = table.get("loss") if isinstance(table, dict) else None
        return {**PRESETS.get(name, {}), **table} if isinstance(name, str) else table

    @model_validator(mode="after")
    def _fits(self) -> GRPOConfig:
        if 0 < self.dual_clip <= 1:
            raise ValueError(f"`dual_clip` is {self.dual_clip:g}; it is above 1, or 0 for no bound")
        if self.loss == "cispo" and self.dual_clip:
            raise ValueError("`cispo` clips a weight and no objective: `dual_clip` has nothing to bound, leave it out")
        if self.loss == "gspo" and (wide := max(self.clip_low, self.clip_high)) >= WIDE:
            raise ValueError(
                f"`gspo` clips the mean ratio of a completion, and {wide:g} is a range for tokens that would clip "
                "nothing; leave `clip_low` and `clip_high` out (3e-4 and 4e-4), or set them below 0.1"
            )
        if self.kl_target is not None and not self.reference_kl:
            raise ValueError("`kl_target` moves `reference_kl`, which is 0; give it a start (VLAA-Thinker: 1e-3)")
        if self.kl_target is None and self.kl_horizon != HORIZON:
            raise ValueError("`kl_horizon` says how fast `kl_target` moves `reference_kl`; set a target, or neither")
        return self

    def holds(self) -> frozenset[str]:
        """The reference, when it is asked for."""
        return frozenset({"reference"} if self.reference_kl else ())
