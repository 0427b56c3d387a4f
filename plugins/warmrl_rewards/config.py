"""Settings of the rewards."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, ValidationInfo, field_validator, model_validator

from warmrl.api import Choice, PooledRewardConfig, RewardChoice, RewardConfig, TeacherChoice, TeacherConfig

PAPER: Mapping[str, Any] = {name: {"use": name} for name in ("digit", "choice", "math", "iou")}
"""The branches of VLAA-Thinker's reward that rules score (Chen et al. 2025, arXiv:2504.11468, section 4.1)."""


class MathConfig(PooledRewardConfig):
    """1 when the extracted answer equals the gold answer as mathematics, else 0."""


class Geo3kEasyR1Config(PooledRewardConfig):
    """EasyR1's reward for Geometry3K: 0.9 for the right answer in the last box, and 0.1 for the form."""

    format_weight: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Share of the form (EasyR1's `format_weight`); the answer has the rest."""


class ChoiceConfig(RewardConfig):
    """1 when the answer says the right option, by its letter or its text, and no other; else 0."""


class DigitConfig(RewardConfig):
    """1 when the answer is the gold number, however it is written; else 0."""


class IouConfig(RewardConfig):
    """How far the boxes of the answer overlap those of the gold answer: intersection over union."""

    threshold: Annotated[float, Field(gt=0, le=1)] = 0.5
    """From which overlap on an answer counts as right; the score is the overlap itself."""


class FormatConfig(RewardConfig):
    """1 when the completion has the form that the answer style asks for, else 0."""


class OpenEndedConfig(RewardConfig):
    """How much better a reward model finds the answer than the gold answer: 1 - exp(-beta (S(answer) - S(gold)))."""

    scorer: TeacherChoice
    """A teacher that rates answers: `reward_model`, or `server` with `kind = "reward"`."""
    beta: Annotated[float, Field(gt=0)] = 0.2
    """How soon a better rate is worth all. 0.2: the code of ScoreRS (Muhtar et al. 2025), whose form the paper took;
    the paper does not say. Rates are on the scorer's own scale, so another scorer may need another."""
    right_from: Annotated[float | None, Field(gt=0, lt=1)] = None
    """As a grader: from which reward on an answer counts as right. By default none does: a rate is no verdict."""

    @field_validator("scorer")
    @classmethod
    def _rates(cls, scorer: Choice) -> Choice:
        assert isinstance(scorer.config, TeacherConfig)
        if "rates" not in scorer.config.gives():
            gives = ", ".join(scorer.config.gives()) or "nothing"
            raise ValueError(f"it needs a teacher that gives `rates`, and `{scorer.use}` as set here gives {gives}")
        return scorer


class MixedConfig(RewardConfig):
    """Each problem by the reward of its kind, and 0 for every completion without an answer (VLAA-Thinker's reward)."""

    by_kind: dict[str, RewardChoice] = Field(default=dict(PAPER), validate_default=True)
    """The reward of each kind of problem; what is set here is laid over the default. Open-ended answers (kind `open`)
    need a scorer: `by_kind.open = { use = "open_ended", scorer = { … } }`. Branches have no weights."""

    @model_validator(mode="before")
    @classmethod
    def _over_the_paper(cls, table: Any, info: ValidationInfo) -> Any:
        """Lay `by_kind` over the default, in a recipe: outside of one there is no registry to choose plugins from."""
        if isinstance(table, dict) and info.context and "registry" in info.context:
            own = table.get("by_kind", {})
            return {**table, "by_kind": {**PAPER, **own} if isinstance(own, dict) else own}
        return table

    @field_validator("by_kind")
    @classmethod
    def _unweighted(cls, by_kind: dict[str, Choice]) -> dict[str, Choice]:
        for kind, choice in by_kind.items():
            assert isinstance(choice.config, RewardConfig)
            if choice.config.weight != 1.0:
                raise ValueError(f"the branch `{kind}` has a weight; set the weight of the whole reward")
        return by_kind
