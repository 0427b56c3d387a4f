"""Settings of the rewards."""

from typing import Annotated

from pydantic import Field

from warmrl.api import PooledRewardConfig, RewardConfig


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
