"""A stage's checkpoints: published aside, sealed and renamed; the newest whole one is used, damaged ones are named."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file

from warmrl.domain.errors import Interrupted, WarmrlError
from warmrl.engine.entries import policy_folder
from warmrl.engine.storage import damage, sealed_folder, write_json

if TYPE_CHECKING:
    from warmrl.domain.method import Method
    from warmrl.engine.stage import Stage

log = logging.getLogger("warmrl")
# Whole checkpoints kept beside one another: the newest, and one to fall back to.
KEPT = 2
# Between a parameter's name and the name of one of its moments in `optimizer.safetensors`.
OF = "::"
STATE = "state.json"


def publish(stage: Stage, step: int, optimizer: torch.optim.Optimizer, method: Method[Any] | None) -> None:
    """Seal weights, optimizer, method state and the marks of the journals as of `step`; prune older ones."""
    if stage.processes.first:
        plain, tensors = split_state(method.state() if method else {})
        marks = {name: journal.mark() for name, journal in stage.journals.items()}
        with sealed_folder(stage.folder / "checkpoints" / f"step-{step:06d}") as folder:
            save_file(distinct(changing(stage.policy.model)), folder / "weights.safetensors")
            save_file(distinct(moments(stage.policy.model, optimizer)), folder / "optimizer.safetensors")
            save_file(distinct(tensors), folder / "method.safetensors")
            state = {"step": step, "method": plain, "journals": marks, "findings": stage.findings}
            (folder / STATE).write_text(json.dumps(state, indent=1, allow_nan=False))
        prune(stage.folder / "checkpoints", step)
    stage.processes.wait()


def keep_policy(stage: Stage, step: int) -> None:
    """Keep the policy as it is after `step`, for evaluation or another stage to start from."""
    target = kept_policy(stage, step)
    if stage.processes.first and damage(target) is not None:
        with sealed_folder(target) as folder:
            stage.policy.save(folder)
    stage.processes.wait()


def kept_policy(stage: Stage, step: int) -> Path:
    """Where the policy of a step is kept."""
    return stage.folder / policy_folder(step)


def resume(stage: Stage, optimizer: torch.optim.Optimizer, method: Method[Any] | None) -> int:
    """Load the newest whole checkpoint (0 when there is none) and cut the journals back to it."""
    folder = stage.processes.agree(newest_whole(stage) if stage.processes.first else None)
    state: dict[str, Any] = {"step": 0, "journals": {}, "method": {}, "findings": []}
    if folder is not None:
        state = json.loads((folder / STATE).read_text())
        model = stage.policy.model
        model.load_state_dict(restored(model, load_file(folder / "weights.safetensors")), strict=False)
        load_optimizer(model, optimizer, load_file(folder / "optimizer.safetensors"))
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


def distinct(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Tensors that share no memory (tied weights appear once), as safetensors wants them."""
    out: dict[str, torch.Tensor] = {}
    seen: set[int] = set()
    for name in sorted(tensors):
        value = tensors[name].detach().cpu().contiguous()
        if value.numel() and value.data_ptr() in seen:
            continue
        seen.add(value.data_ptr())
        out[name] = value
    return out


def changing(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """What training may change: a model's buffers and all its parameters but the frozen ones."""
    return {
        name: value
        for name, value in model.state_dict(keep_vars=True).items()
        if value.requires_grad or not isinstance(value, torch.nn.Parameter)
    }


def restored(model: torch.nn.Module, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Put tied weights back under every name that the model gives them."""
    own = changing(model)
    by_place = {own[name].data_ptr(): value for name, value in tensors.items()}
    return {name: by_place[place.data_ptr()] for name, place in own.items()}


def moments(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """The optimizer's state by the name of each parameter; parameters that were never updated have none."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return {
        f"{names[id(parameter)]}{OF}{key}": value
        for parameter, state in optimizer.state.items()
        for key, value in state.items()
    }


def load_optimizer(model: torch.nn.Module, optimizer: torch.optim.Optimizer, tensors: dict[str, torch.Tensor]) -> None:
    """Put the optimizer's state back; its hyperparameters come from the recipe and the schedule."""
    parameters = dict(model.named_parameters())
    for name, value in tensors.items():
        parameter, _, key = name.rpartition(OF)
        place = "cpu" if key == "step" else parameters[parameter].device
        optimizer.state[parameters[parameter]][key] = value.to(place)


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
    if stage.processes.first:
        with sealed_folder(stage.folder / "policy") as folder:
            stage.policy.save(folder)
        write_json(stage.folder / "done.json", record | {"findings": stage.findings})
        leftovers = [*stage.folder.glob(".tmp-*"), *stage.folder.glob("policies/.tmp-*")]
        for folder in [stage.folder / "checkpoints", *leftovers]:
            shutil.rmtree(folder, ignore_errors=True)
    stage.processes.wait()
