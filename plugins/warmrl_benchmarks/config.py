"""Settings of the graders of benchmarks."""

from typing import Annotated, Literal

from pydantic import Field

from warmrl.api import RewardConfig, TeacherChoice


class MathVistaConfig(RewardConfig):
    """1 when an answer is right by MathVista's official rules (calculate_score.py), else 0."""

    strict: bool = False
    """An answer that is empty, ambiguous or no choice is wrong; officially it becomes the nearest choice, which gives
    16.8 points of 100 to answers that are all empty."""
    extractor: TeacherChoice | None = None
    """A language model that finds the answer in what the rules leave open, as officially, at temperature 0; by default
    rules find it, without any service."""
    max_tokens: Annotated[int, Field(ge=1)] = 256
    """Longest reply of the extractor."""


class MMMUConfig(RewardConfig):
    """1 when an answer is right by MMMU's official rules (eval_utils.py), else 0."""

    mode: Literal["wrong", "official_random"] = "wrong"
    """What an answer is in which no option is found. `wrong`: no answer. `official_random`: officially an option is
    drawn at random; the score is then its expected value, one over the number of options, and not a draw."""
    letters: Literal["lmms_eval", "mmmu"] = "lmms_eval"
    """Where an option's letter without brackets counts. `lmms_eval`: before a space, else before a full stop, as in
    lmms-eval and MMMU-Pro ("DNA " names A). `mmmu`: between two spaces, as in MMMU's own repository."""
