"""Hook specifications: the reference manual of everything a plugin can add.

A plugin is a module named by an entry point of group `warmrl` (or one file beside a recipe) that implements any of
these hooks with `warmrl.api.hookimpl`. Registering names the config class, which is imported with the plugin and
must not import torch, and the implementation as a string, which is imported only when a recipe uses it:

    @hookimpl
    def warmrl_register_rewards(register):
        register("length", config=LengthConfig, implementation="my_package.reward:LengthReward", revision="1")
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pluggy

from warmrl.domain.config import Config

if TYPE_CHECKING:
    import typer

hookspec = pluggy.HookspecMarker("warmrl")


class Register(Protocol):
    """What a register hook is given: call it once for every name that the plugin adds."""

    def __call__(self, name: str, *, config: type[Config], implementation: str, revision: str = "1") -> None:
        """Register `name`.

        `config` validates the recipe table. `implementation` is `module:Class`. `revision` enters the key of every
        stage that uses the plugin: raise it whenever the same settings would give other results.
        """


@hookspec
def warmrl_register_warm_starts(register: Register) -> None:
    """Add warm starts: stages that prepare a policy for RL. Implementation: a `Method`."""


@hookspec
def warmrl_register_rl_algorithms(register: Register) -> None:
    """Add RL algorithms: stages that train a policy on rewards. Implementation: a `Method`."""


@hookspec
def warmrl_register_curators(register: Register) -> None:
    """Add curators: stages that make a dataset. Implementation: a `Curator`."""


@hookspec
def warmrl_register_teachers(register: Register) -> None:
    """Add teachers: models that generate or score. Implementation: a `Teacher`."""


@hookspec
def warmrl_register_datasets(register: Register) -> None:
    """Add datasets: problems with stable ids. Implementation: a `Dataset`."""


@hookspec
def warmrl_register_answer_styles(register: Register) -> None:
    """Add answer styles: instruction, extraction, well-formedness. Implementation: an `AnswerStyle`."""


@hookspec
def warmrl_register_rewards(register: Register) -> None:
    """Add rewards: completions of a problem to numbers in a declared range. Implementation: a `Reward`."""


@hookspec
def warmrl_register_metrics(register: Register) -> None:
    """Add metrics: samples of a problem to a value and a weight. Implementation: a `Metric`."""


@hookspec
def warmrl_register_samplers(register: Register) -> None:
    """Add samplers: prompts to completions with token ids. Implementation: a `Sampler`."""


@hookspec(firstresult=True)
def warmrl_find_checkpoint(path: str) -> Path | None:
    """The folder of a checkpoint that this plugin ships or can make (`pocket:base`), or None for any other path.

    Called with paths of the form `NAME:REST` alone. The folder is a transformers checkpoint with its processor.
    """


@hookspec
def warmrl_run_started(run: dict[str, Any]) -> None:
    """Observe that a run began; `run` has its name, folder and resolved recipe. Cannot change it."""


@hookspec
def warmrl_metrics_logged(row: dict[str, Any]) -> None:
    """Observe one row of `metrics.jsonl`, after it was written. Cannot change it."""


@hookspec
def warmrl_stage_finished(stage: str, folder: Path, reused: bool) -> None:
    """Observe that a stage's output is complete in `folder`; `reused` when it was made by an earlier run."""


@hookspec
def warmrl_run_finished(run: dict[str, Any]) -> None:
    """Observe that a run is complete; `run` as in `warmrl_run_started`, with the endpoint metrics."""


@hookspec
def warmrl_register_commands(app: typer.Typer) -> None:
    """Add commands to the command line; import what is heavy inside the command."""
