"""Settings of the rewards."""

from typing import Annotated

from pydantic import Field

from warmrl.api import NOT_SEMANTIC, RewardConfig


class MathConfig(RewardConfig):
    """1 when the extracted answer equals the gold answer as mathematics, else 0."""

    deadline: Annotated[float, Field(gt=0)] = 2.0
    """Seconds that comparing one answer may take; then it is wrong."""
    memory: Annotated[float, Field(ge=0.25)] = 2.0
    """GiB of address space that a grading process may have; an answer that needs more is wrong."""
    workers: Annotated[int, Field(ge=1, json_schema_extra=NOT_SEMANTIC)] = 2
    """Most grading processes at a time; none is started before an answer needs one."""


class FormatConfig(RewardConfig):
    """1 when the completion has the form that the answer style asks for, else 0."""
