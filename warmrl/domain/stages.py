"""Settings that every stage shares: where it starts, what it reads, and how it optimises."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from warmrl.domain.config import Choice, Config
from warmrl.domain.handoff import HandoffTable

if TYPE_CHECKING:
    from warmrl.domain.answer import AnswerStyle

# Fields under this marker never change results, so they are left out of a stage's key.
NOT_SEMANTIC: dict[str, Any] = {"semantic": False}
# Fields under this one were added when there were results already: a key has them where they are not at their default.
ADDED: dict[str, Any] = {"semantic": "unless default"}


class StageConfig(Config):
    """Settings of any stage, whichever plugin runs it."""

    policy: str = "base"
    """The stage whose policy this one starts from (`stage` or `stage@step`); `base` is the recipe's model."""
    data: str | list[str] = "train"
    """A `[data.*]` table, a curator stage or a part of what it made (`stage/part`), or a list of them
    (concatenated)."""

    reads: ClassVar[frozenset[str]] = frozenset({"reward", "sampler"})
    """Which of the recipe's shared tables change what the stage makes; the others stay out of its key."""
    trains: ClassVar[bool] = True
    """Whether a stage that is no curator makes a policy of its own. One that does not hands on what `policy` names as
    it is, so that policy's answers are its answers."""

    def teacher_needs(self) -> tuple[str, ...]:
        """What the stage needs of its `teacher`: `generates`, `full`, `top-k`, `sampled`; checked before it runs."""
        return ()

    def teachers(self) -> dict[str, tuple[str, ...]]:
        """What it needs of the teacher in each of its fields that chooses one; text of all but `teacher`."""
        chosen = (name for name, value in self if isinstance(value, Choice) and value.kind == "teacher")
        return {name: self.teacher_needs() if name == "teacher" else ("generates",) for name in chosen}

    def objection(self, style: AnswerStyle[Any]) -> str | None:
        """Why these settings cannot work in the recipe's answer style, a sentence; None when they can.

        Asked before anything is spent.
        """
        return None

    def policies(self) -> dict[str, str]:
        """The checkpoints (`base`, `stage`, `stage@step`) that it reads beside `policy`, by the field that names one.

        They are made before it, and `Stage.checkpoint` opens them.
        """
        return {}


class CuratorConfig(StageConfig):
    """Settings of a stage that makes a dataset."""

    parts: ClassVar[tuple[str, ...]] = ()
    """Names of the parts that it divides its problems into (`Problem.extra["part"]`), read as `stage/part`."""


class LoRATable(Config):
    """Low-rank adapters in place of full fine-tuning (Hu et al. 2021); merged when the stage is done."""

    rank: Annotated[int, Field(ge=1)] = 64
    """Rank of each adapter."""
    alpha: Annotated[int, Field(ge=1)] = 128
    """Adapters are scaled by alpha / rank."""
    targets: list[str] = []
    """Names of the matrices that get one (`q_proj`); empty: every linear layer of the parts in `train`."""


class MethodConfig(StageConfig):
    """Settings of a stage that trains a policy."""

    whole_groups: ClassVar[bool] = False
    """Whether the completions of a prompt must be in one row (a loss over pairs), over the token budget if need be;
    where the model's completions cannot share a prompt they are apart all the same."""

    steps: Annotated[int, Field(ge=1)] = 100
    """Rollouts (for SFT: batches). Each feeds `updates_per_rollout` optimizer steps."""
    prompts_per_step: Annotated[int, Field(ge=1)] = 16
    """Prompts drawn for each step."""
    updates_per_rollout: Annotated[int, Field(ge=1)] = 1
    """Optimizer updates made from each step's groups; more than one needs the old log-probabilities."""
    normalise: Literal["token", "sequence", "constant"] = "token"
    """`token`: the loss is a mean over all trained tokens of an update (DAPO, EasyR1). `sequence`: a mean over
    completions of their token means, also called the length-mean loss (GRPO's paper, VLAA-Thinker). `constant`: a sum
    over tokens, divided by completions x `max_tokens` (Dr. GRPO), so that no length is favoured."""
    learning_rate: Annotated[float, Field(gt=0)] = 1e-6
    """Peak learning rate of AdamW. 1e-6: EasyR1's and verl's published setting for 7B full fine-tuning."""
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    """Learning-rate schedule after warm-up; `constant` is EasyR1's."""
    min_learning_rate: Annotated[float, Field(ge=0, json_schema_extra=ADDED)] = 0.0
    """Where `linear` and `cosine` end (VLAA-Thinker: 5e-7 after a `warmup` of 0.03, methods B.5)."""
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of optimizer updates over which the learning rate rises linearly from zero."""
    betas: Annotated[tuple[float, float], Field(strict=False)] = (0.9, 0.999)
    """AdamW's betas (EasyR1)."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    """AdamW's decoupled weight decay (EasyR1)."""
    max_grad_norm: Annotated[float, Field(gt=0)] = 1.0
    """Gradients are clipped to this global norm (EasyR1)."""
    train: Annotated[list[Literal["language", "projector", "vision"]], Field(min_length=1)] = [
        "language",
        "projector",
        "vision",
    ]
    """The parts that train. With a frozen vision tower and projector an image's features are computed once."""
    lora: LoRATable | None = None
    """Adapters instead of the parts' own weights; the base is then held in the model's `dtype`."""
    max_tokens: Annotated[int, Field(ge=1)] = 1024
    """Longest completion, in tokens, that the policy may sample."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    """Sampling temperature of rollouts; losses take log-probabilities at temperature 1 whatever it is."""
    token_budget: Annotated[int, Field(ge=1, json_schema_extra=NOT_SEMANTIC)] = 16384
    """Most tokens packed into one forward pass; changes memory and speed, never results beyond rounding."""
    gradient_checkpointing: Annotated[Literal["auto", "on", "off"], Field(json_schema_extra=NOT_SEMANTIC)] = "auto"
    """Recompute activations in the backward pass: `auto` does so for rows whose estimate exceeds the free memory."""
    checkpoint_every: Annotated[int, Field(ge=1, json_schema_extra=NOT_SEMANTIC)] = 20
    """Steps between checkpoints of a stage."""
    handoff: Annotated[HandoffTable | None, Field(json_schema_extra=NOT_SEMANTIC)] = None
    """The rule that chooses which checkpoint the stage hands on; without one it is the last."""

    @model_validator(mode="after")
    def _falls_to_its_floor(self) -> MethodConfig:
        low, high = self.min_learning_rate, self.learning_rate
        if low > high:
            raise ValueError(f"`min_learning_rate` is {low:g}, above `learning_rate` ({high:g}), which falls to it")
        if low and self.schedule == "constant":
            raise ValueError('`min_learning_rate` is where a schedule ends: set `schedule` to "cosine" or "linear"')
        return self

    def holds(self) -> frozenset[str]:
        """What the method keeps beside the policy, for the plan of memory.

        `reference`: the stage's start, frozen (adapters need no copy of it). `snapshot`: one more copy of the weights.
        """
        return frozenset()

    def scoring_passes(self) -> int:
        """How many passes that only score it makes over a step's groups, for the plan of time and memory."""
        return (self.updates_per_rollout > 1) + ("reference" in self.holds())
