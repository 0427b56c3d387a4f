"""TRL's trainers as they are, but for where their data, their first step and their words come from and go to."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from accelerate.state import AcceleratorState, GradientState, PartialState
from transformers import PrinterCallback, TrainerCallback
from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer, SFTConfig, SFTTrainer

from warmrl_trl.config import Trainer

ALLOWED: dict[Trainer, tuple[type, type]] = {
    "sft": (SFTTrainer, SFTConfig),
    "dpo": (DPOTrainer, DPOConfig),
    "kto": (KTOTrainer, KTOConfig),
}
STATES = (AcceleratorState, GradientState, PartialState)


class Continued:
    """Laid over a trainer: it counts from 0 what the stage counts from `start`, of `whole` steps, and sends nothing."""

    start = 0
    whole = 0

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """The schedule of the whole stage, at its place."""
        scheduler = super().create_scheduler(self.whole, optimizer)  # type: ignore[misc]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that it moves before the optimizer, as it is to
            for _ in range(self.start):
                scheduler.step()
        return scheduler

    def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
        return dataset  # its rows are tokenised

    def _send_telemetry(self) -> None:
        pass


class Steps(TrainerCallback):
    """Tells of every update: `before(step)`, and `after(step, what TRL logs of it)`; steps count from 1."""

    def __init__(
        self, start: int, before: Callable[[int], None], after: Callable[[int, dict[str, float]], None]
    ) -> None:
        self.start, self.before, self.after = start, before, after

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Before an update's first forward pass."""
        self.before(self.start + state.global_step + 1)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
        """After an update; what is logged of the whole at the end is left out."""
        if logs and "loss" in logs:
            self.after(self.start + state.global_step, dict(logs))


def build(name: Trainer, arguments: dict[str, Any], reference: Any | None, **given: Any) -> Any:
    """A trainer of TRL's, with the reference that DPO and KTO compare with."""
    trainer, config = ALLOWED[name]
    own = type(trainer.__name__, (Continued, trainer), {})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of a setting that transformers 5.23 has another name for
        settings = config(**arguments)
    settings._n_gpu = min(settings.n_gpu, 1)  # one device, however many are seen
    if reference is not None:
        given["ref_model"] = reference
    built = own(args=settings, **given)
    built.remove_callback(PrinterCallback)
    return built


@contextmanager
def undisturbed() -> Iterator[None]:
    """A trainer sets accelerate's process-wide state and every seed: both are put back."""
    states = {one: dict(one._shared_state) for one in STATES}
    draws, numbers = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            yield
    finally:
        random.setstate(draws)
        np.random.set_state(numbers)
        for one, held in states.items():
            one._shared_state.clear()
            one._shared_state.update(held)
