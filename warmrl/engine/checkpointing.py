"""A stage's checkpoints: published aside, sealed and renamed; the newest whole one is used, damaged ones are named."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file

from warmrl.domain.errors import Interrupted, WarmrlError
from warmrl.engine.entries import policy_folder
from warmrl.engine.storage import damage, sealed_folder, write_json
from warmrl.engine.weights import changing, distinct, load_moments, moments, put_back

if TYPE_CHECKING:
    from warmrl.domain.method import Method
    from warmrl.engine.stage import Stage

log = logging.getLogger("warmrl")
# Whole checkpoints kept beside one another: the newest, and one to fall back to.
KEPT = 2
STATE = "state.json"


def publish(stage: Stage, step: int, optimizer: torch.optim.Optimizer, method: Method[Any] | None) -> None:
    """Seal weights, optimizer, method state and the marks of the journals as of `step`; prune older ones.

    All processes gather what is in shards, file by file; the first one writes.
    """
    first, model = stage.processes.first, stage.policy.model
    plain, tensors = split_state(method.state() if method else {})
    checkpoints = stage.folder / "checkpoints"
    with sealed_folder(checkpoints / f"step-{step:06d}") if first else nullcontext() as folder:
        for name, parts in (
            ("weights", changing(model)),
            ("optimizer", moments(model, optimizer)),
            ("method", tensors),
        ):
            found = distinct(parts, keep=first)
            if folder is not None:
                save_file(found, folder / f"{name}.safetensors")
            del found
        if folder is not None:
            marks = {name: journal.mark() for name, journal in stage.journals.items()}
            state = {"step": step, "method": plain, "journals": marks, "findings": stage.findings}
            (folder / STATE).write_text(json.dumps(state, indent=1, allow_nan=False))
    if first:
        prune(checkpoints, step)
    stage.processes.wait()


def keep_policy(stage: Stage, step: int) -> None:
    """Keep the policy as it is after `step`, for evaluation or another stage to start from."""
    target = kept_policy(stage, step)
    if stage.processes.agree(damage(target) if stage.processes.first else None) is not None:
        save_policy(stage, target)
    stage.processes.wait()


def save_policy(stage: Stage, target: Path) -> None:
    """Seal the policy as it is in `target`."""
    with sealed_folder(target) if stage.processes.first else nullcontext() as folder:
        stage.policy.save(folder)


def kept_policy(stage: Stage, step: int) -> Path:
    """Where the policy of a step is kept."""
    return stage.folder / policy_folder(step)


def resume(stage: Stage, optimizer: torch.optim.Optimizer, method: Method[Any] | None) -> int:
    """Load the newest whole checkpoint (0 when there is none) and cut the journals back to it."""
    folder = stage.processes.agree(newest_whole(stage) if stage.processes.first else None)
    state: dict[str, Any] = {"step": 0, "journals": {}, "method": {}, "findings": []}
    if folder is not None:
        state = json.loads((folder / STATE).read_text())
        put_back(stage.policy.model, load_file(folder / "weights.safetensors"))
        load_moments(stage.policy.model, optimizer, load_file(folder / "optimizer.safetensors"))
        if method is not None:
            method.load(state["method"] | load_file(folder / "method.safetensors"))
        stage.say(f"Stage `{stage.name}` goes on from step {state['step']}.")
        stage.findings[:] = state["findings"]
    if stage.processes.first:
        for name, journal in stage.journals.items():
            journal.rewind(state["journals"].get(name))
    stage.processes.wait()
    return int(state["step"])


def newest_whole(stage: Stage) -> Path | None:
    """The newest checkpoint that is what was written; each damaged one is named and passed over.

    So is one from which the run would no longer come by a policy that is asked for and isn't there.
    """
    first = min((step for step in stage.keep if damage(kept_policy(stage, step)) is not None), default=None)
    for folder in sorted((stage.folder / "checkpoints").glob("step-*"), reverse=True):
        if first is not None and folder.name >= kept_policy(stage, first).name:
            log.warning("The checkpoint %s is passed over: the policy of step %d is asked for now.", folder, first)
            continue
        reason = damage(folder) or journal_damage(stage, folder)
        if reason is None:
            return folder
        log.warning("The checkpoint %s is damaged (%s) and is passed over.", folder, reason)
    return None


def journal_damage(stage: Stage, folder: Path) -> str | None:
    """Whether the journals still hold what they held when the checkpoint was made."""
    marks = json.loads((folder / STATE).read_text())["journals"]
    wrong = [name for name, mark in marks.items() if name in stage.journals and not stage.journals[name].matches(mark)]
    return f"`{wrong[0]}` no longer holds the rows it was made with" if wrong else None


def prune(checkpoints: Path, step: int) -> None:
    """Remove all but the newest few, those past `step` (they were passed over), and what a killed write left."""
    found = sorted(checkpoints.glob("step-*"), reverse=True)
    past = [folder for folder in found if folder.name > f"step-{step:06d}"]
    for folder in [*past, *found[len(past) + KEPT :]]:
        shutil.rmtree(folder, ignore_errors=True)
    for leftover in checkpoints.glob(".tmp-*"):
        shutil.rmtree(leftover, ignore_errors=True)


def split_state(state: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """A method's state as JSON values and tensors."""
    tensors = {name: value for name, value in state.items() if torch.is_tensor(value)}
    return {name: value for name, value in state.items() if name not in tensors}, tensors


def border(stage: Stage, step: int, optimizer: torch.optim.Optimizer, method: Method[Any] | None, last: bool) -> None:
    """What happens between steps: keep a policy that others refer to, stop when asked, checkpoint when it is time.

    Raises `Interrupted` after publishing a checkpoint when a signal has come.
    """
    if step in stage.keep:
        keep_policy(stage, step)
    if last:
        return
    signal = stage.processes.agree(stage.stopping())
    if signal or step % stage.checkpoint_every == 0:
        publish(stage, step, optimizer, method)
    if signal:
        raise Interrupted(
            f"Stopped by signal {signal} after step {step} of stage `{stage.name}`; a checkpoint was published, and "
            "the same command goes on from it.",
            128 + signal,
        )


def refuse_non_finite(stage: Stage, step: int, value: float, what: str, problems: list[str]) -> None:
    """Stop before a number that is none reaches the weights. Raises `WarmrlError` naming the problems."""
    if value != value or value in (float("inf"), float("-inf")):
        raise WarmrlError(
            f"Stage `{stage.name}`, step {step}: the {what} is {value}, so no update was made; the newest checkpoint "
            f"is from before. Problems in this step: {', '.join(problems[:8])}."
        )


def finish(stage: Stage, record: dict[str, Any]) -> None:
    """Publish the stage's policy, then the record that says the stage is done; checkpoints are no longer needed."""
    save_policy(stage, stage.folder / "policy")
    if stage.processes.first:
        write_json(stage.folder / "done.json", record | {"findings": stage.findings})
        leftovers = [*stage.folder.glob(".tmp-*"), *stage.folder.glob("policies/.tmp-*")]
        for folder in [stage.folder / "checkpoints", *leftovers]:
            shutil.rmtree(folder, ignore_errors=True)
    stage.processes.wait()
