"""The schema of a recipe: what a whole experiment is, apart from what plugins add to it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from warmrl.domain.config import (
    AnswerChoice,
    Config,
    DatasetChoice,
    RewardChoice,
    SamplerChoice,
    StageChoice,
)
from warmrl.domain.stages import NOT_SEMANTIC

Name = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_-]*$")]


class ModelTable(Config):
    """The model every stage starts from."""

    path: str
    """A folder, a Hub id, a named checkpoint of a plugin (`pocket:base`), or `RUN#stage@step`."""
    revision: str | None = None
    """Commit of a Hub id; resolved and pinned in the resolved recipe."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Precision of the forward pass. Master weights are float32 under full fine-tuning."""
    min_pixels: Annotated[int | None, Field(ge=1)] = None
    """Smallest image the processor makes, in pixels (families that take it)."""
    max_pixels: Annotated[int | None, Field(ge=1)] = None
    """Largest image the processor makes, in pixels (families that take it)."""


class GeneralizationTable(Config):
    """The Generalization Factor (SPECS, arXiv:2510.25801) along a run: does what is learnt in domain carry over?"""

    in_domain: Name
    """The suite of the domain that is trained on, of problems that training does not see."""
    out_of_domain: Annotated[dict[Name, Annotated[float, Field(gt=0)]], Field(min_length=1)]
    """Suites of other domains, or of other requirements on the answer, and the weight of each in their mean."""
    metric: str = "accuracy"
    """The score, one of `eval.metrics`."""
    beta: Annotated[float, Field(gt=0)] = 2.0
    """How much more the other domains weigh: beta squared (the paper: 2)."""
    form: Literal["gains", "raw"] = "gains"
    """`gains`: scores less those of the base, which must be evaluated. `raw`: the scores themselves."""


class EvalTable(Config):
    """What is measured, where, and how much of it."""

    at: list[str] = []
    """Checkpoints to evaluate: `base`, `stage`, `stage@step`. Empty: the base and the end of every training stage."""
    metrics: list[str] = ["accuracy", "pass@1"]
    """Metrics, in the one spelling: `pass@16`."""
    samples: Annotated[int, Field(ge=1)] = 16
    """Sampled answers per problem (Chen 2021 needs n >= k); `accuracy` reads one greedy answer besides."""
    temperature: Annotated[float, Field(ge=0)] = 1.0
    """Temperature of the sampled answers; 1 and `top_p` 1 are the policy's own distribution."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Only the most likely tokens of this mass are sampled."""
    max_tokens: Annotated[int, Field(ge=1)] = 1024
    """Longest answer."""
    seed: int = 0
    """Its own seed: one base evaluation serves every seed of a study."""
    interval: Annotated[float, Field(gt=0, lt=1)] = 0.95
    """Confidence level of intervals over problems."""
    method: Literal["bca", "percentile", "t", "wilson"] = "bca"
    """How intervals are made: the bootstrap's BCa (Efron 1987) or percentiles, Student's t, or Wilson's where scores
    are right or wrong."""
    bootstrap: Annotated[int, Field(ge=200)] = 10_000
    """Bootstrap draws of an interval (BCa)."""
    generalization: GeneralizationTable | None = None
    """The Generalization Factor at every evaluated checkpoint of the stages that train, in the report."""


class ProbeTable(Config):
    """One probe set and one estimator, at every point of a run: the base, along every training stage, at its end."""

    on: Name
    """The problems: a `[suite.*]` table, or a `[data.*]` table that nothing trains on. Where it is a suite with a
    `limit` (problems are the first of it), its answers at evaluated checkpoints serve both."""
    points: Annotated[int, Field(ge=1)] = 8
    """Points along each training stage, evenly spaced, its end the last. The policy of each is kept."""
    metrics: Annotated[list[str], Field(min_length=1)] = ["entropy", "pass@1"]
    """Metrics, in the one spelling."""
    samples: Annotated[int, Field(ge=1)] = 4
    """Sampled answers per problem."""

    def steps(self, total: int) -> list[int]:
        """The points along a stage of `total` steps: rounded, each once, its end the last; none of 0 (not known)."""
        places = range(1, self.points + 1)
        return sorted({max(1, (2 * i * total + self.points) // (2 * self.points)) for i in places}) if total else []


class LaunchTable(Config):
    """How a run is spread over processes; never changes what is computed."""

    processes: Annotated[int, Field(ge=1)] = 1
    """Processes that `warmrl run` starts (torch distributed); where torchrun or srun starts it, theirs count."""
    sharding: Literal["none", "fsdp2"] = "none"
    """`none`: each process holds the trained policy whole, gradients are averaged (DDP). `fsdp2`: weights, gradients
    and optimizer state are in shards over the processes."""
    timeout: Annotated[float, Field(gt=0)] = 60.0
    """Longest, in minutes, that one process waits for another before the run ends. Meanwhile another may write a
    checkpoint, or wait for a server: longer than the deadlines of the sampler and the teacher."""


class Recipe(Config):
    """One experiment. Tables that repeat are named; order follows from references."""

    version: Literal[1]
    """The recipe format."""
    name: Name
    """Names the run folder; never part of a stage's key."""
    seed: int = 0
    """Seed of every stage."""
    plugins: list[str] = []
    """One-file plugins beside the recipe (`./my_reward.py`), trusted by `warmrl plugin trust`."""
    model: ModelTable
    answer: AnswerChoice
    data: dict[Name, DatasetChoice] = {}
    reward: dict[Name, RewardChoice] = {}
    sampler: SamplerChoice = Field(default={"use": "transformers"}, validate_default=True)
    """What generates rollouts and evaluation samples."""
    stage: dict[Name, StageChoice]
    suite: dict[Name, DatasetChoice] = {}
    grader: RewardChoice = Field(default={"use": "math"}, validate_default=True)
    """The reward that says whether an answer of an evaluation is right (1: right)."""
    second_opinion: RewardChoice | None = Field(default={"use": "geo3k_easyr1"}, validate_default=True)
    """Another grader: how often its verdict differs is reported with every evaluation."""
    eval: EvalTable = EvalTable()
    probe: ProbeTable | None = None
    """What is measured along the way; no part of what identifies a result."""
    launch: Annotated[LaunchTable, Field(json_schema_extra=NOT_SEMANTIC)] = LaunchTable()
