"""Settings of `trl`, and what they are called there. What TRL's trainers cannot be told is refused."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from warmrl.api import Config, MethodConfig

Trainer = Literal["sft", "dpo", "kto"]
# Which trainers know which argument of `args`, and the losses that each of them may be told.
KNOWN_BY: dict[str, tuple[Trainer, ...]] = {
    "loss_type": ("sft", "dpo", "kto"),
    "loss_weights": ("dpo",),
    "beta": ("dpo", "kto"),
    "label_smoothing": ("dpo",),
    "desirable_weight": ("kto",),
    "undesirable_weight": ("kto",),
}
LOSSES: dict[Trainer, tuple[str, ...]] = {
    "sft": ("nll", "dft"),
    "dpo": ("sigmoid", "sigmoid_norm", "hinge", "ipo", "nca_pair", "robust", "bco_pair", "apo_zero", "apo_down", "sft"),
    "kto": ("kto", "apo_zero_unpaired"),
}
# Settings of every stage that `arguments.py` hands to TRL, or that the engine sees to.
HANDED_ON = {
    *("policy", "data", "steps", "epochs", "prompts_per_step", "trainer", "args", "train", "lora"),
    *("learning_rate", "schedule", "warmup", "betas", "weight_decay", "max_grad_norm"),
    *("gradient_checkpointing", "checkpoint_every", "handoff"),
}


class TRLArguments(Config):
    """Arguments of TRL 1.16's trainers, under TRL's names; those left out are TRL's defaults."""

    loss_type: str | list[str] | None = None
    """SFT: `nll` or `dft`; KTO: `kto` or `apo_zero_unpaired`; DPO: one or more (`["sigmoid", "bco_pair", "sft"]` is
    MPO's mix)."""
    loss_weights: list[float] | None = None
    """DPO: the weight of each of several losses."""
    beta: Annotated[float | None, Field(gt=0)] = None
    """DPO, KTO: how strongly the reference holds the policy; TRL's default is 0.1."""
    label_smoothing: Annotated[float | None, Field(ge=0, lt=0.5)] = None
    """DPO: the probability that a preference is the wrong way round."""
    desirable_weight: Annotated[float | None, Field(gt=0)] = None
    """KTO: the weight of chosen answers."""
    undesirable_weight: Annotated[float | None, Field(gt=0)] = None
    """KTO: the weight of rejected answers."""
    per_device_train_batch_size: Annotated[int | None, Field(ge=1)] = None
    """Rows in one forward pass; gradients accumulate over the passes of a step. Left out: all of the step's. KTO takes
    the pairs that estimate its divergence from one pass."""

    @property
    def losses(self) -> list[str]:
        """The named losses, one or several."""
        return [self.loss_type] if isinstance(self.loss_type, str) else self.loss_type or []


class TRLConfig(MethodConfig):
    """One of TRL's trainers in its own loop, on this stage's data and policy: a bridge, and a baseline.

    A step is one optimizer update on `prompts_per_step` rows: worked answers (SFT), pairs (DPO), or answers of either
    side (KTO). On one process.
    """

    reads: ClassVar[frozenset[str]] = frozenset()

    trainer: Trainer
    """`sft`: on `Problem.solution`. `dpo`: on it and `Problem.rejected`. `kto`: on each of them by itself."""
    steps: Annotated[int, Field(ge=0)] = 0
    """Optimizer updates (TRL's `max_steps`); 0 takes as many as `epochs` gives."""
    epochs: Annotated[float, Field(gt=0)] = 1.0
    """Passes over the data, when `steps` is 0."""
    learning_rate: Annotated[float, Field(gt=0)] = 1e-5
    """Peak learning rate of AdamW, as `sft` has it; TRL's are 2e-5 for SFT and 1e-6 for DPO and KTO."""
    args: TRLArguments | None = None
    """A few arguments of TRL's own."""

    @model_validator(mode="after")
    def _only_what_trl_can_be_told(self) -> TRLConfig:
        for name, field in type(self).model_fields.items():
            if name not in HANDED_ON and getattr(self, name) != field.get_default(call_default_factory=True):
                raise ValueError(f"`{name}` has no counterpart in TRL's trainers; leave it out, or use another `use`")
        for name, trainers in KNOWN_BY.items():
            if getattr(self.told, name) is not None and self.trainer not in trainers:
                raise ValueError(f"`args.{name}` is for the trainers {', '.join(trainers)}, not for {self.trainer}")
        self._check_losses()
        self._check_passes()
        return self

    def _check_losses(self) -> None:
        losses, known = self.told.losses, LOSSES[self.trainer]
        wrong = [one for one in losses if one not in known]
        if wrong:
            raise ValueError(f"`args.loss_type`: {self.trainer} has no `{wrong[0]}` here; choose of {', '.join(known)}")
        if len(losses) > 1 and self.trainer != "dpo":
            raise ValueError(f"`args.loss_type`: {self.trainer} takes one loss, and {len(losses)} are named")
        if self.told.loss_weights is not None and len(self.told.loss_weights) != len(losses):
            raise ValueError("`args.loss_weights` needs one weight for each loss of `args.loss_type`")

    def _check_passes(self) -> None:
        if self.prompts_per_step % self.rows_per_pass:
            raise ValueError(
                f"`prompts_per_step` ({self.prompts_per_step}) must be a multiple of "
                f"`args.per_device_train_batch_size` ({self.rows_per_pass})"
            )
        if self.trainer == "kto" and self.told.losses != ["apo_zero_unpaired"] and self.rows_per_pass < 2:
            raise ValueError("KTO's divergence is estimated from mismatched rows of a pass: give it two or more a pass")

    @property
    def told(self) -> TRLArguments:
        """`args`, TRL's defaults where there are none."""
        return self.args or TRLArguments()

    @property
    def rows_per_pass(self) -> int:
        """Rows in one forward pass."""
        return self.told.per_device_train_batch_size or self.prompts_per_step

    def holds(self) -> frozenset[str]:
        """The reference of DPO and KTO."""
        return frozenset({"reference"} if self.trainer != "sft" else ())
