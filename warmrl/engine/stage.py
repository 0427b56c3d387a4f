"""What the engine gives a stage's plugin: its policy, problems, sampling, rewards, teacher, randomness, journals."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any, ClassVar
from weakref import finalize

import numpy as np

from warmrl.domain.answer import AnswerStyle
from warmrl.domain.config import Choice
from warmrl.domain.errors import DataError, UsageError
from warmrl.domain.group import Completion, Group
from warmrl.domain.method import FunnelStep
from warmrl.domain.problem import Problem
from warmrl.domain.recipe import ModelTable
from warmrl.domain.reward import Reward
from warmrl.domain.stages import MethodConfig, StageConfig
from warmrl.engine.agreement import Agreement
from warmrl.engine.checkpoints import find
from warmrl.engine.journal import Journal
from warmrl.engine.policy import Policy
from warmrl.engine.processes import Processes
from warmrl.engine.randomness import epoch_slice, generator
from warmrl.engine.recompute import Recompute
from warmrl.engine.sampling import Sampling, completion_seed
from warmrl.engine.scoring import Rewards
from warmrl.engine.spreading import Spread
from warmrl.engine.suites import asked
from warmrl.engine.work import Tally
from warmrl.plugin.registry import Registry

if TYPE_CHECKING:
    from warmrl.domain.method import Method


@dataclass
class Stage:
    """One stage at work. `folder` is its entry in the store; `keep` are the steps whose policy is kept for others.

    `reference()` opens the policy that it starts from, and `checkpoint(name)` one that its config's `policies` names,
    both frozen. `style` is None where prompts are sent as they are.
    """

    PHASES: ClassVar[tuple[str, ...]] = ("rollout", "score", "train", "save")

    name: str
    config: StageConfig
    seed: int
    policy: Policy
    problems: Sequence[Problem]
    style: AnswerStyle | None
    rewards: Rewards
    grader: Reward[Any]
    sampling: Sampling
    model: ModelTable
    processes: Processes
    registry: Registry
    folder: Path
    keep: frozenset[int] = frozenset()
    on_row: Callable[[dict[str, Any]], None] = lambda _row: None
    stopping: Callable[[], int] = lambda: 0
    say: Callable[[str], None] = lambda _sentence: None
    findings: list[str] = field(default_factory=list)
    funnel: list[FunnelStep] = field(default_factory=list)
    reference: Callable[[], Policy] | None = None
    checkpoint: Callable[[str], Policy] | None = None
    allow_code: bool = False
    tokenised: dict[str, tuple[int, ...]] = field(default_factory=dict)
    work: Tally = field(default_factory=Tally)

    def __post_init__(self) -> None:
        self._timing: dict[str, Any] = {}
        self.policy.counted(self.work)
        self.metrics = Journal(self.folder / "metrics.jsonl")
        self.timings = Journal(self.folder / "timings.jsonl")
        self.rollouts = Journal(self.folder / "rollouts.jsonl")
        self.ledger = Journal(self.folder / "ledger.jsonl")

    @cached_property
    def recompute(self) -> Recompute:
        """Decides for which rows activations are computed again instead of kept."""
        return Recompute(self.policy, getattr(self.config, "gradient_checkpointing", "auto"), self.processes)

    @cached_property
    def agreement(self) -> Agreement:
        """Compares the sampler's log-probabilities with the policy's."""
        return Agreement(self)

    @property
    def journals(self) -> dict[str, Journal]:
        """Every journal of the stage, by file name. `timings` alone holds clocks."""
        return {one.file.name: one for one in (self.metrics, self.rollouts, self.ledger, self.timings)}

    def rng(self, purpose: str, step: int = 0, item: int | str = 0) -> np.random.Generator:
        """A generator of its own for (run seed, stage, purpose, step, item)."""
        return generator(self.seed, self.name, purpose, step, item)

    def draw(self, step: int, problems: Sequence[Problem] | None = None) -> list[Problem]:
        """The problems of a step: `prompts_per_step` of shuffled epochs, a pure function of the step."""
        assert isinstance(self.config, MethodConfig)
        pool = self.problems if problems is None else problems
        if not pool:
            raise DataError(f"`stage.{self.name}` has no problems to draw from; check its `data`.")
        count = self.config.prompts_per_step
        chosen = epoch_slice(len(pool), step * count, count, self.seed, self.name, "order")
        return [pool[i] for i in chosen]

    def sample(self, problems: Sequence[Problem], samples: int, step: int = 0, **sampling: Any) -> list[Group]:
        """`samples` completions of each problem from the policy as it is now, with the style's instruction.

        With a sampler that has weights of its own, the signal `sampler_logprob` says what they are to it.
        """
        groups = self.sample_from(self.policy, problems, samples, "rollout", step, **sampling)
        self.agreement.carry(groups)
        return groups

    def sample_from(
        self, policy: Policy, problems: Sequence[Problem], samples: int, purpose: str, step: int = 0, **sampling: Any
    ) -> list[Group]:
        """Completions of any policy, by the recipe's sampler; draws depend on purpose, step, problem and index."""
        groups = [Group(problem, [], (asked(problem, self.style),)) for problem in problems]
        seed = completion_seed(self.seed, self.name, purpose, step)
        return self.sampling.groups(policy, groups, samples, seed, **sampling)

    def located(self, path: str, revision: str | None = None) -> Path:
        """The folder of a checkpoint that is no policy (a reward model): a folder, a Hub id, a named checkpoint."""
        return Path(find(path, revision, self.registry).path)

    def load_policy(self, path: str, revision: str | None = None, memory: Mapping[str, str] | None = None) -> Policy:
        """Another checkpoint, frozen, in the recipe's dtype (a teacher, a judge); its work counts as a teacher's.

        `memory` spreads its layers over device, host memory and disk: the most of `device` and `cpu` ("70GiB") for it.
        """
        source = find(path, revision, self.registry)
        spread = None if memory is None else Spread(memory, Path(mkdtemp(prefix=".tmp-offload-", dir=self.folder)))
        policy = Policy.load(
            source, self.model, device=self.processes.device, trained=False, allow_code=self.allow_code, spread=spread
        )
        policy.model.requires_grad_(False)
        if spread is not None:
            finalize(policy.model, shutil.rmtree, spread.folder, ignore_errors=True)
        return policy.counted(self.work, teaches=True)

    def given(self, problem: Problem, *texts: str) -> Group:
        """A group whose completions are given texts (a worked answer of the data; a preference pair)."""
        for text in texts:
            if text not in self.tokenised:
                self.tokenised[text] = self.policy.encode_answer(text)
        completions = [Completion(self.tokenised[text], text, origin="dataset", finish="given") for text in texts]
        return Group(problem, completions, (asked(problem, self.style),))

    def reward(self, groups: Sequence[Group]) -> None:
        """Score every completion by the recipe's rewards."""
        processes = self.processes
        if processes.world == 1:
            self.rewards.score(groups)
            return
        # Each process scores its share and tells the others: a deadline that one of them missed must not part them.
        own = range(processes.rank, len(groups), processes.world)
        with processes.together():
            self.rewards.score([groups[i] for i in own])
        scored = [(i, [(one.rewards, one.reward) for one in groups[i].completions]) for i in own]
        for i, found in processes.gather(scored):
            for one, (parts, total) in zip(groups[i].completions, found, strict=True):
                one.rewards, one.reward = parts, total

    def mine(self, groups: Sequence[Group]) -> set[tuple[int, int]]:
        """The completions, by (group, completion), that this process will train on if a step's groups are these."""
        if self.processes.world == 1:
            return {(index, number) for index, group in enumerate(groups) for number in range(len(group.completions))}
        from warmrl.engine.training import trained_here

        assert isinstance(self.config, MethodConfig)
        return trained_here(self, self.config, groups)

    def teacher(self, choice: Choice, *, plain: bool = False) -> Any:
        """The chosen teacher, checked against this policy; its findings go into the report.

        A `plain` one is a writer of text (a captioner, a judge): prompts are sent as they are, and nothing is compared.
        """
        if choice.kind != "teacher":
            raise UsageError(f"`stage.{self.name}.teacher` chooses a {choice.kind}, not a teacher.")
        if plain:
            return self.registry.instance(choice, replace(self, style=None))
        teacher = self.registry.instance(choice, self)
        for finding in teacher.preflight(self.policy):
            if finding not in self.findings:
                self.findings.append(finding)
        return teacher

    @property
    def last_timing(self) -> dict[str, Any]:
        """The seconds of the newest step, by phase."""
        return self._timing

    def time(self, row: dict[str, Any]) -> None:
        """Write one row of timings; the only journal with clocks in it."""
        self._timing = row
        if self.processes.first:
            self.timings.append(row)

    def log(self, row: dict[str, Any]) -> None:
        """Write one row of metrics (flat, no clocks) and show it."""
        row = {"stage": self.name, **row}
        if self.processes.first:
            self.metrics.append(row)
        self.on_row(row)

    def count_alone(self, groups: Sequence[Group], *, scored: bool = False) -> dict[str, int]:
        """For loops of one's own: what one update over groups took, for its row of metrics (see `log`).

        Each completion is taken to have had a prompt of its own. `scored`: another pass read them all, a reference's.
        """
        from warmrl.engine.passes import bare
        from warmrl.packed.plan import plan

        counter = self.policy.counter
        for (row,) in plan([bare(self.policy.encode_group(one)) for one in groups], token_budget=1, share=False):
            if counter:
                counter.trained(row)
            if counter and scored:
                counter.scored(row)
        self.work.once(self.processes, prompts=len(groups), updates=1)
        return self.work.take(self.processes).columns()

    def keep_samples(self, step: int, groups: Sequence[Group], left_out: Sequence[Group] = ()) -> None:
        """Write down what a step (from 1) trained on, some of it in full, and what it sampled for nothing."""
        from warmrl.engine.training import write_samples

        if self.processes.first:
            write_samples(self, step, groups, left_out)

    def train(self, method: Method[Any]) -> None:
        """The loop that every method shares."""
        from warmrl.engine.training import train

        train(self, method)

    def in_blocks(
        self,
        make: Callable[[Sequence[Problem]], list[dict[str, Any]]],
        problems: Sequence[Problem] | None = None,
        *,
        name: str = "",
    ) -> list[dict[str, Any]]:
        """`make`'s rows for problems (all of the stage's), block by block; what was made before a kill is read back.

        Who goes through problems more than once gives each pass a name.
        """
        from warmrl.engine.curating import in_blocks

        return in_blocks(self, make, self.problems if problems is None else problems, name)

    def stop_if_asked(self, done: str) -> None:
        """For curators, wherever what was made is kept: end here when a signal asks for it; `done` says what is."""
        from warmrl.engine.curating import stop_if_asked

        stop_if_asked(self, done)

    def resume(self, optimizer: Any, method: Method[Any] | None = None) -> int:
        """Take back the newest whole checkpoint into policy, optimizer and method; the step to go on with."""
        from warmrl.engine.checkpointing import resume

        return resume(self, optimizer, method)

    @property
    def checkpoint_every(self) -> int:
        """Steps between checkpoints."""
        return getattr(self.config, "checkpoint_every", 1)

    def border(self, step: int, optimizer: Any, method: Method[Any] | None = None, *, last: bool = False) -> None:
        """For loops of one's own, after each step: keep policies, stop when asked, checkpoint when it is time."""
        from warmrl.engine.checkpointing import border

        border(self, step, optimizer, method, last)
