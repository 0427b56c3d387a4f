"""A study: arms laid over one recipe, each with several seeds, and what they have in common."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from warmrl.domain.config import Config

Name = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_-]*$")]
ArmName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_-]*$", max_length=64)]
"""Of an arm: it names a folder."""
Seed = Annotated[int, Field(gt=-(2**53), lt=2**53)]
"""A number that every reader of JSON keeps as it is."""
Budget = Literal["prompts", "samples", "tokens", "updates", "flops"]


class StudyTable(Config):
    """What makes a recipe with `[arm.*]` tables a study: warm starts (the arms) before the same reinforcement learning.

    An arm is an overlay of the recipe, merged as `extends` merges. What it changes before `outcome` is its warm start;
    everything else in which arms differ is looked for, and stops the study unless it is declared or accepted by name.
    """

    seeds: Annotated[list[Seed], Field(min_length=1)]
    """The seeds that every arm is run with. Below three nothing is said of methods."""
    control: ArmName
    """The arm that the others are compared with."""
    match: Budget = "prompts"
    """The budget in which the warm starts of all arms must be equal: prompts seen, samples drawn, tokens that the
    student trains on, updates, or operations. It is measured, too."""
    outcome: Name = "rl"
    """The stage that all arms end with and share, settings and all. The policy that it starts from is the `entry`."""
    in_domain: Name
    """The suite of the domain that is trained on; the first of every table."""
    out_of_domain: list[Name] = []
    """Suites of other domains."""
    declared: dict[str, Annotated[str, Field(pattern=r"\S")]] = {}
    """Differences between arms that are meant: the TOML path (`stage.warm.learning_rate`; `match` for the budget) and
    why. An arm may have such a table of its own: `[arm.NAME.declared]`."""

    @field_validator("seeds")
    @classmethod
    def different(cls, seeds: list[int]) -> list[int]:
        """A seed that is named twice would be counted twice."""
        if len(set(seeds)) < len(seeds):
            raise ValueError("a seed is named twice; each run would count as two")
        return seeds
