"""Settings of `opd`."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from warmrl.api import MethodConfig, TeacherChoice


class OPDConfig(MethodConfig):
    """On-policy distillation: the student samples, the teacher says at every token what it would have done."""

    reads: ClassVar[frozenset[str]] = frozenset({"sampler"})

    teacher: TeacherChoice
    """The teacher; the full divergences need one that scores `full`, `sampled` any that scores."""
    samples_per_prompt: Annotated[int, Field(ge=1)] = 1
    """Completions per prompt (verl's VLM example: 1)."""
    divergence: Literal["reverse", "forward", "jsd", "sampled"] = "reverse"
    """`reverse`: exact KL(student || teacher) over the whole vocabulary (TRL's default, beta = 1). `forward`: exact
    KL(teacher || student). `jsd`: their mixture. `sampled`: policy gradient on the log-ratio of the sampled tokens
    (verl's k1, Tinker)."""
    beta: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Mixture weight of `jsd` (Agarwal et al. 2024, arXiv:2306.13649)."""
    clamp: Annotated[float, Field(gt=0)] = 10.0
    """`sampled`: the log-ratio is kept within this size (verl's examples)."""

    def teacher_needs(self) -> tuple[str, ...]:
        """Full distributions, or the sampled tokens' probabilities."""
        return ("sampled",) if self.divergence == "sampled" else ("full",)
