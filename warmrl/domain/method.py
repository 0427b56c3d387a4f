"""The base class of warm starts and RL algorithms (`Method`) and of dataset-making stages (`Curator`)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from warmrl.domain.group import Group
from warmrl.domain.problem import Problem
from warmrl.domain.stages import CuratorConfig, MethodConfig

C = TypeVar("C", bound=MethodConfig)
D = TypeVar("D", bound=CuratorConfig)


@dataclass(frozen=True)
class FunnelStep:
    """One step of a curator that leaves items out: how many came, how many stayed, and why the others did not.

    `dropped` counts by reason; `taken` is `kept` and all that were dropped. A stage's `funnel` is in its report.
    """

    step: str
    taken: int
    kept: int
    dropped: Mapping[str, int] = field(default_factory=dict)


class Method(ABC, Generic[C]):
    """Policy (and data) in, policy out. A method supplies a source of groups and a loss.

    The default loop (`Stage.train`) calls, for every step: `groups(step)`, then for every optimizer
    update the packed forward with `loss(batch)`, then `after_step(step)`. `stage` is the engine's `Stage`: it
    gives the policy, problems, sampling, rewards, teacher and randomness (`warmrl.engine.api.Stage`).
    """

    def __init__(self, config: C, stage: Any) -> None:
        self.config = config
        self.stage = stage

    def total_steps(self) -> int:
        """How many steps the stage has."""
        return self.config.steps

    def prepare(self) -> None:
        """Check and set up before the first step (after a resume, too). May raise `UsageError`."""

    @abstractmethod
    def groups(self, step: int) -> list[Group]:
        """The groups that step `step` trains on; a pure function of the step and the policy's weights."""

    @abstractmethod
    def loss(self, batch: Any) -> Any:
        """The loss of a packed batch (`Row`): a `TokenLoss` or a `Divergence` of `warmrl.engine.api`.

        `batch.columns` holds each trained token's signals, and `weight`, which sums to 1 over an update as the
        stage's `normalise` says; the loss is the weighted sum over tokens.
        """

    def informative(self, group: Group) -> bool:
        """False for a group whose gradient is exactly zero: it is counted, and not computed."""
        return True

    def needs_old_logprobs(self, groups: Sequence[Group]) -> bool:
        """Whether the loss reads `old_logprob` of these groups: what the policy that sampled them said of each token.

        The loop then makes a pass for it before the step's first update.
        """
        return self.config.updates_per_rollout > 1

    def before_update(self, groups: Sequence[Group]) -> None:
        """Called before each optimizer update with the groups it goes over, in every process: the last moment to write
        signals.
        """

    def token_metrics(self, batch: Any, output: Any) -> dict[str, float]:
        """Sums over a packed batch's tokens; the loop logs each divided by the number of trained tokens."""
        return {}

    def metrics(self, groups: Sequence[Group]) -> dict[str, float]:
        """Numbers to log for a step beyond those the loop logs for every method."""
        return {}

    def after_step(self, step: int) -> bool:
        """Called after each step's updates; True ends the stage early (early stopping)."""
        return False

    def state(self) -> Mapping[str, Any]:
        """What a checkpoint must keep: JSON values, or tensors (saved as safetensors)."""
        return {}

    def load(self, state: Mapping[str, Any]) -> None:
        """Take back what `state` gave."""

    def run(self) -> None:
        """Train the stage's policy. Override to bring a loop of one's own."""
        self.stage.train(self)


class Curator(ABC, Generic[D]):
    """Makes a dataset from policies, teachers and data."""

    def __init__(self, config: D, stage: Any) -> None:
        self.config = config
        self.stage = stage

    @abstractmethod
    def curate(self) -> Sequence[Problem]:
        """The problems of the new dataset; what was taken as a worked answer is each one's `solution`.

        Each is a problem of the stage's data with a new id, and `extra["source"]` the id it came from: prompts and
        images are not copied into the run. Kept of it are `solution`, `rejected`, and what `extra` has beyond the
        source's (JSON values); `extra["part"]` is the part it belongs to, of those in the config's `parts`.
        """
