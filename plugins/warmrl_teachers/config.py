"""Settings of the teacher `local` and the curator `traces`."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from warmrl.api import CuratorConfig, TeacherChoice, TeacherConfig


class LocalConfig(TeacherConfig):
    """A teacher in this process: any checkpoint that a recipe's model could be."""

    path: str
    """A folder, a Hub id, a named checkpoint (`pocket:teacher`), or `RUN#stage@step`."""
    model_revision: str | None = None
    """Commit of a Hub id."""

    def gives(self) -> tuple[Literal["generates", "full"], ...]:
        """Everything: the model is here."""
        return ("generates", "full")


class TracesConfig(CuratorConfig):
    """A teacher's answers to the problems of `data`, kept when they are right."""

    reads: ClassVar[frozenset[str]] = frozenset({"grader", "sampler"})

    teacher: TeacherChoice
    """Who answers."""
    samples_per_prompt: Annotated[int, Field(ge=1)] = 1
    """Answers drawn per problem."""
    keep: Annotated[int, Field(ge=1)] = 1
    """Most right answers kept per problem, the first ones drawn."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    """Sampling temperature of the teacher."""
    max_tokens: Annotated[int, Field(ge=1)] = 1024
    """Longest answer."""

    def teacher_needs(self) -> tuple[str, ...]:
        """Text."""
        return ("generates",)
