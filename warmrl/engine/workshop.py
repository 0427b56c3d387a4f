"""Makes what is missing: runs a stage's plugin on its policy and data, samples an evaluation."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from warmrl.domain.stages import MethodConfig
from warmrl.engine.checkpointing import finish
from warmrl.engine.checkpoints import Source
from warmrl.engine.curating import keep_curated
from warmrl.engine.entries import Entries
from warmrl.engine.evaluation import Evaluation
from warmrl.engine.forecast.machines import machine
from warmrl.engine.forecast.refusals import refuse_certain
from warmrl.engine.forecast.resources import Resources
from warmrl.engine.grading import open_reward
from warmrl.engine.launch import local_processes
from warmrl.engine.policy import Policy
from warmrl.engine.processes import Processes
from warmrl.engine.progress import Progress
from warmrl.engine.randomness import generator
from warmrl.engine.recipe_rules import stage_config
from warmrl.engine.samples import Draws
from warmrl.engine.sampling import Sampling
from warmrl.engine.scoring import Rewards
from warmrl.engine.solution_losses import solution_losses
from warmrl.engine.stage import Stage
from warmrl.engine.storage import write_json
from warmrl.engine.suites import Suite
from warmrl.engine.trainable import add_adapters, freeze_but
from warmrl.engine.work import Tally


class Workshop:
    """The heavy half of an experiment: processes, policies, rewards and graders."""

    def __init__(
        self,
        entries: Entries,
        progress: Progress,
        on_row: Callable[[dict[str, Any], dict[str, Any]], None],
        stopping: Callable[[], int],
        allow_code: bool,
    ) -> None:
        self.entries, self.progress, self.on_row = entries, progress, on_row
        self.stopping, self.allow_code = stopping, allow_code
        self.recipe, self.registry = entries.file.recipe, entries.file.registry
        here = machine(None, local_processes())
        resources = Resources(entries, here, measure=False, allow_code=allow_code)
        refuse_certain(resources)
        self.processes = Processes(self.recipe.model.dtype, self.recipe.launch)
        self.style = self.registry.instance(self.recipe.answer)
        self.rewards = Rewards(self.recipe.reward, self.style, self.registry, entries.store, allow_code=allow_code)
        for name, choice in self.recipe.stage.items():
            if "reward" in stage_config(choice).reads:
                self.rewards.check(resources.problems(name), name)
        self.sampling = Sampling(self.recipe.sampler, self.registry, self.processes)
        self.grader = open_reward(self.recipe.grader, self.style, self.registry, entries.store, allow_code=allow_code)
        self._evaluated: tuple[str, Policy] | None = None

    def close(self) -> None:
        """Stop worker processes; let go of what accelerate wrapped while the process group is still there.

        A DDP wrapper that outlives it destroys it, holding the GIL while it joins a gloo thread that may be waiting
        for the GIL (torch 2.13): the process would never end.
        """
        self.forget()
        self.sampling.close()
        self.rewards.close()
        self.grader.close()

    def load(self, source: Source, trained: bool) -> Policy:
        """A checkpoint on this process's device."""
        return Policy.load(
            source, self.recipe.model, device=self.processes.device, trained=trained, allow_code=self.allow_code
        )

    def forget(self) -> None:
        """Let go of the policies that were at work; accelerate keeps every model it has prepared."""
        self._evaluated = None
        self.processes.accelerator.free_memory()

    def stage(self, name: str, folder: Path) -> None:
        """Run a stage's plugin from its newest checkpoint, and keep what it made."""
        choice, began = self.recipe.stage[name], time.perf_counter()
        self.forget()
        if self.processes.first:
            write_json(folder / "key.json", self.entries.parts(name))
            (folder / "done.json").unlink(missing_ok=True)
        self.processes.wait()
        stage = self.open(name, folder)
        plugin = self.registry.instance(choice, stage)
        if choice.kind == "curator":
            self.progress.stage_started(name, choice.use, 0)
            keep_curated(stage, plugin.curate(), time.perf_counter() - began)
            return
        total = plugin.total_steps()
        stage.keep |= frozenset(self.entries.kept_steps(name, total))
        self.progress.stage_started(name, choice.use, total)
        plugin.run()
        rows = stage.metrics.rows()
        work = stage.work.total(rows)
        counted = {"work": work.record()} if work else {}
        finish(stage, {"steps": len(rows), "planned": total, "seconds": spent(stage, began), **counted})

    def open(self, name: str, folder: Path) -> Stage:
        """A stage's policy, data and services."""
        recipe, config = self.recipe, stage_config(self.recipe.stage[name])
        source, work = self.entries.policy_source(config.policy), Tally()
        stage = Stage(
            name=name,
            config=config,
            seed=recipe.seed,
            policy=self.trained(source, name),
            problems=self.entries.problems(name),
            style=self.style,
            rewards=self.rewards,
            grader=self.grader,
            sampling=self.sampling,
            model=recipe.model,
            processes=self.processes,
            registry=self.registry,
            folder=folder,
            keep=frozenset(self.entries.kept_steps(name)),
            stopping=self.stopping,
            reference=lambda: self.load(source, trained=False).counted(work),
            checkpoint=lambda other: self.load(self.entries.policy_source(other), trained=False).counted(work),
            say=self.progress.say,
            allow_code=self.allow_code,
            work=work,
        )
        if getattr(config, "lora", None):
            stage.reference = stage.policy.unadapted
        stage.on_row = lambda row: self.on_row(row, stage.last_timing)
        return stage

    def trained(self, source: Source, name: str) -> Policy:
        """The policy that a stage trains: in full, some parts, or adapters on a frozen one."""
        config = stage_config(self.recipe.stage[name])
        if not isinstance(config, MethodConfig):
            return self.load(source, trained=False)
        policy = self.load(source, trained=config.lora is None)
        if config.lora is None:
            freeze_but(policy, config.train)
        else:
            seed = int(generator(self.recipe.seed, name, "lora").integers(2**31))
            add_adapters(policy, config.train, config.lora, seed, config.policy)
        return policy

    def evaluate(self, checkpoint: str, suite: Suite, draws: Draws, on_block: Callable[[int, int], None]) -> None:
        """Draw what is missing of one checkpoint's answers to one suite."""
        policy = self.evaluated(checkpoint)
        Evaluation(suite, draws, self.processes, self.stopping, on_block).sample(self.sampling, policy)

    def losses(self, checkpoint: str, suite: Suite) -> dict[str, tuple[float, int]]:
        """A checkpoint's negative log-likelihood (nats) of each worked answer of a suite, and the answer's tokens."""
        return solution_losses(self.evaluated(checkpoint), suite, self.processes, self.stopping)

    def evaluated(self, checkpoint: str) -> Policy:
        """A checkpoint as it is evaluated; the newest one stays."""
        if self._evaluated is not None and self._evaluated[0] == checkpoint:
            return self._evaluated[1]
        if self._evaluated is None:
            self.forget()  # a stage was at work
        prompts = self._evaluated and self._evaluated[1].encoded()
        self._evaluated = None  # nothing else holds its weights: they go now, without a search for garbage
        policy = self.load(self.entries.policy_source(checkpoint), trained=False)
        if prompts:
            policy.take(*prompts)
        self._evaluated = checkpoint, policy
        return policy


def spent(stage: Stage, began: float) -> float:
    """Seconds of a stage: those of its steps, an earlier start's included, or since it was opened."""
    steps = [sum(v for k, v in row.items() if k in stage.PHASES) for row in stage.timings.rows()]
    return max(sum(steps), time.perf_counter() - began)
