"""A trainer of TRL's in its own loop, between the stage's data and its checkpoints."""

from __future__ import annotations

import importlib.util
import math
import shutil
import time
from typing import Any

import torch

from warmrl.api import Group, Method, UsageError, WarmrlError
from warmrl.engine.api import Stage
from warmrl_trl.config import TRLConfig

# What TRL says of a step under another name, and what says nothing of it.
RENAMED = {"entropy": "entropy_on_data"}
LEFT_OUT = frozenset({"epoch", "num_tokens", "num_input_tokens_seen"})


class TRL(Method[TRLConfig]):
    """Trains the stage's own weights by TRL's loop; the engine logs its steps and keeps its checkpoints."""

    def __init__(self, config: TRLConfig, stage: Stage) -> None:
        super().__init__(config, stage)
        if importlib.util.find_spec("trl") is None:
            raise UsageError(
                f"`stage.{stage.name}` runs a trainer of TRL, and TRL is not installed: `pip install 'warmrl[trl]'`."
            )
        if stage.processes.world > 1:
            raise UsageError(
                f"`stage.{stage.name}` runs TRL's loop, which works on one process here, and this run has "
                f"{stage.processes.world}: run it with `--processes 1`, or train with `sft` or `dpo`."
            )
        from warmrl_trl.rows import Rows

        self.rows = Rows(config, stage)

    def total_steps(self) -> int:
        """`steps`, or what `epochs` makes of the data."""
        per_epoch = len(self.rows.pool) / self.config.prompts_per_step
        return self.config.steps or max(1, math.ceil(self.config.epochs * per_epoch))

    def groups(self, step: int) -> list[Group]:
        """What step `step` trains on."""
        return self.rows.groups(step)

    def loss(self, batch: Any) -> Any:
        """Never called: the loss is TRL's."""
        raise NotImplementedError

    def run(self) -> None:
        """TRL's loop from the newest checkpoint to the end."""
        from warmrl_trl.trainer import Steps, undisturbed

        folder = self.stage.folder / ".tmp-trl"
        with undisturbed():
            trainer = self.trainer(folder)
            try:
                trainer.create_optimizer()
                start, total = self.stage.resume(trainer.optimizer, self), self.total_steps()
                trainer.start, trainer.args.max_steps = start, total - start
                trainer.train_dataset = self.rows.dataset(start, total)
                trainer.add_callback(Steps(start, self.before, lambda step, logs: self.after(trainer, step, logs)))
                self.compare_tokens(trainer)
                trainer.train()
            finally:
                trainer.accelerator.free_memory()
                shutil.rmtree(folder, ignore_errors=True)

    def trainer(self, folder: Any) -> Any:
        """The trainer, around the policy's own weights."""
        from copy import deepcopy

        from warmrl_trl.arguments import arguments
        from warmrl_trl.trainer import build

        stage, total = self.stage, self.total_steps()
        compares = self.config.trainer != "sft" and self.config.lora is None
        built = build(
            self.config.trainer,
            arguments(self.config, stage, folder, total),
            stage.reference().stock() if compares else None,
            model=stage.policy.stock(),
            processing_class=deepcopy(stage.policy.processor),
            train_dataset=self.rows.dataset(0, total),
        )
        built.whole = total
        return built

    def before(self, step: int) -> None:
        """Each step's draws (dropout) are its own, so that a resumed run makes them too."""
        torch.manual_seed(int(self.stage.rng("trl", step).integers(2**31)))
        self._began = time.perf_counter()

    def after(self, trainer: Any, step: int, logs: dict[str, float]) -> None:
        """Write down a step, and do what is done between steps."""
        wrong = [name for name in ("loss", "grad_norm") if not math.isfinite(logs.get(name, 0.0))]
        if wrong:
            raise WarmrlError(
                f"Stage `{self.stage.name}`, step {step}: TRL's {wrong[0]} is {logs[wrong[0]]}; the newest checkpoint "
                "is from before."
            )
        groups, total = self.groups(step - 1), self.total_steps()
        completions = [one for group in groups for one in group.completions]
        tokens, seconds = sum(one.trained_tokens for one in completions), time.perf_counter() - self._began
        self.stage.keep_samples(step, groups)
        timing = {"stage": self.stage.name, "step": step, "steps": total, "train": seconds}
        self.stage.time(timing | {"tokens_per_second": tokens / max(seconds, 1e-9)})
        said = {RENAMED.get(name, name): value for name, value in logs.items() if name not in LEFT_OUT}
        count = {"completions": len(completions), "tokens": tokens, "length": tokens / len(completions)}
        took = self.stage.count_alone(groups, scored=self.config.trainer == "dpo")
        if self.config.trainer == "kto":  # whose passes over other prompts' answers TRL does not tell
            del took["flops/score"]
        self.stage.log({"step": step, **said, **count, **took})
        self.stage.border(step, trainer.optimizer, self, last=step == total)

    def compare_tokens(self, trainer: Any) -> None:
        """Say so in the report when TRL reads the first rows, or trains on them, as other tokens than this engine."""
        count = self.config.rows_per_pass
        batch = trainer.data_collator([trainer.train_dataset[number] for number in range(count)])
        trained = batch["labels"] != -100 if self.config.trainer == "sft" else batch["completion_mask"].bool()
        read = zip(batch["input_ids"], batch["attention_mask"].bool(), trained, strict=True)
        theirs = [(ids[mask].tolist(), ids[own].tolist()) for ids, mask, own in read]
        groups, ours = self.groups(trainer.start)[:count], []
        for side in range(2 if self.config.trainer == "dpo" else 1):
            for group in groups:
                prompt = self.stage.policy.encode_prompt(group.views[0]).ids.tolist()
                answer = list(group.completions[side].tokens)
                ours.append((prompt + answer, answer))
        if theirs != ours:
            self.stage.findings.append(
                f"`stage.{self.stage.name}`: TRL's collator makes other tokens of this policy's prompts and answers "
                "than the other methods here train on; their results are not of the same texts."
            )
