"""Settings of `opd`."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from warmrl.api import MethodConfig, TeacherChoice


class OPDConfig(MethodConfig):
    """On-policy distillation: the student samples, the teacher says at every token what it would have done."""

    reads: ClassVar[frozenset[str]] = frozenset({"sampler"})

    teacher: TeacherChoice
    """The teacher; the exact divergences need one that scores `full`, with `top_k` `top-k`, `sampled` any that
    scores."""
    samples_per_prompt: Annotated[int, Field(ge=1)] = 1
    """Completions per prompt (verl's VLM example: 1)."""
    divergence: Literal["reverse", "forward", "jsd", "sampled"] = "reverse"
    """`reverse`: exact KL(student || teacher) over the whole vocabulary (TRL's default, beta = 1). `forward`: exact
    KL(teacher || student). `jsd`: their mixture. `sampled`: policy gradient on the log-ratio of the sampled tokens
    (verl's k1, Tinker)."""
    beta: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Mixture weight of `jsd` (Agarwal et al. 2024, arXiv:2306.13649)."""
    top_k: Annotated[int | None, Field(ge=1)] = None
    """Compare the teacher's so many most probable tokens one by one and all others together, instead of the whole
    vocabulary: at most the exact divergence, and what a server can tell. verl's scripts take 64."""
    clamp: Annotated[float, Field(gt=0)] = 10.0
    """`sampled`: the log-ratio is kept within this size (verl's examples)."""

    @model_validator(mode="after")
    def _top_k_of_a_divergence(self) -> OPDConfig:
        if self.divergence == "sampled" and self.top_k is not None:
            raise ValueError("`top_k` is for a divergence; the `sampled` form compares the sampled tokens alone")
        return self

    @property
    def form(self) -> Literal["full", "top-k", "sampled"]:
        """What the teacher tells of each token."""
        if self.divergence == "sampled":
            return "sampled"
        return "full" if self.top_k is None else "top-k"

    def teacher_needs(self) -> tuple[str, ...]:
        """Full distributions, the most probable tokens, or the sampled tokens' probabilities."""
        return (self.form,)
