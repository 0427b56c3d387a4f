"""Settings of `opd`, `kdrl` and `opsd`."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from warmrl.api import MethodConfig, TeacherChoice


class DistillationConfig(MethodConfig):
    """What the three share: the student samples, and is moved towards what a teacher says at every token."""

    reads: ClassVar[frozenset[str]] = frozenset({"sampler"})

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
    logprob_floor: Annotated[float | None, Field(lt=0)] = None
    """`sampled`: log-probabilities below this count as this, the student's and the teacher's (verl's examples: -10)."""
    clip_low: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Policy gradients: the ratio to the policy that sampled is clipped from below at 1 - clip_low (verl). It is 1 in
    the first update of a rollout."""
    clip_high: Annotated[float, Field(gt=0)] = 0.2
    """The same from above, at 1 + clip_high (verl; an example of its documentation has 0.28)."""
    importance: Literal["truncated", "off"] = "truncated"
    """Weighs policy gradients where the sampler has weights of its own (vLLM), token by token, by how much likelier
    the policy was to sample them. An exact divergence needs none at its tokens."""
    importance_cap: Annotated[float, Field(ge=1)] = 2.0
    """The largest such weight (as for `grpo`)."""

    @property
    def form(self) -> Literal["full", "top-k", "sampled"]:
        """What the teacher tells of each token."""
        return "sampled" if self.divergence == "sampled" else "full"

    def teacher_needs(self) -> tuple[str, ...]:
        """Full distributions, the most probable tokens, or the sampled tokens' probabilities."""
        return (self.form,)


class OPDConfig(DistillationConfig):
    """On-policy distillation: the student samples, the teacher says at every token what it would have done."""

    teacher: TeacherChoice
    """The teacher; the exact divergences need one that scores `full`, with `top_k` `top-k`, `sampled` any that
    scores."""
    top_k: Annotated[int | None, Field(ge=1)] = None
    """Compare the teacher's so many most probable tokens one by one and all others together, instead of the whole
    vocabulary: at most the exact divergence, and what a server can tell. verl's scripts take 64."""
    teacher_steps: Annotated[int, Field(ge=0)] = 0
    """The first so many of the `steps` are on completions that the teacher writes, by forward KL: sparse to dense
    (arXiv:2605.12483). It then has to generate, too. Of a problem it writes the same ones whenever that is drawn."""

    @model_validator(mode="after")
    def _top_k_of_a_divergence(self) -> OPDConfig:
        if self.divergence == "sampled" and self.top_k is not None:
            raise ValueError("`top_k` is for a divergence; the `sampled` form compares the sampled tokens alone")
        return self

    @property
    def form(self) -> Literal["full", "top-k", "sampled"]:
        """What the teacher tells of each token."""
        return "top-k" if self.top_k is not None else super().form

    def teacher_needs(self) -> tuple[str, ...]:
        """What it tells of each token, and text when it writes completions."""
        return (self.form, "generates") if self.teacher_steps else (self.form,)


class KDRLConfig(OPDConfig):
    """Rewards and a teacher in one objective (KDRL, arXiv:2506.02208): GRPO plus a divergence to the teacher."""

    reads: ClassVar[frozenset[str]] = frozenset({"reward", "sampler"})

    samples_per_prompt: Annotated[int, Field(ge=2)] = 8
    """Completions per prompt: the group G that an advantage is relative to."""
    teacher_weight: Annotated[float, Field(gt=0)] = 1.0
    """Weight of the divergence beside the policy loss (verl's 1). Summaries of the paper give it as falling from 5e-3
    to 1e-3: the smaller, the more it is reinforcement learning."""
    scale_advantages: bool = True
    """Divide advantages by the group's standard deviation (GRPO); false leaves them centred (Dr. GRPO)."""


class OPSDConfig(DistillationConfig):
    """Self-distillation: the teacher is the model itself with the problem's solution before its eyes.

    As set: OPSD (arXiv:2601.18734; its learning rate is 2e-4 with LoRA of rank 64). SDFT (arXiv:2601.19897) is
    `divergence = "forward"` with `teacher = "ema"`.
    """

    divergence: Literal["reverse", "forward", "jsd", "sampled"] = "jsd"
    """`jsd` of the student to the teacher with beta 0.5: OPSD. `forward`: SDFT. `reverse` and `sampled` as in `opd`."""
    teacher: Literal["start", "ema", "live"] = "start"
    """Whose weights teach: the policy's that the stage starts from, a moving average of the student's, or the
    student's own as they are."""
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.99
    """`ema`: after each step the average is this much of itself and for the rest the student (SDFT: 1 - 0.01)."""
    hint: str = (
        "\n\nHere is a reference solution to this problem:\n{solution}\n\n"
        "Now answer with a solution of your own, with all of its reasoning."
    )
    """What the teacher reads after the question, before the answer style's instruction. `{solution}` is the problem's
    worked answer, `{answer}` its right answer."""

    @field_validator("hint")
    @classmethod
    def _hint_tells(cls, hint: str) -> str:
        if "{solution}" not in hint and "{answer}" not in hint:
            raise ValueError("the hint tells nothing: write `{solution}` or `{answer}` into it")
        return hint

    def holds(self) -> frozenset[str]:
        """The start, or a copy of what trains."""
        return frozenset({"start": {"reference"}, "ema": {"snapshot"}, "live": set()}[self.teacher])

    def scoring_passes(self) -> int:
        """The teacher's, whosever weights it has, and that of the student who sampled when there are more updates."""
        return 1 + (self.updates_per_rollout > 1)
