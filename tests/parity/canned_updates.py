"""Updates on canned groups, one after the other on one prepared model as in a run; a launcher can start it.

`python canned_updates.py POLICY REFERENCE FOLDER` writes `rank-R.safetensors` into FOLDER: of each case the loss and
every gradient of that rank, of each scored token its log-probability.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from parity.subjects import (
    SHAPE,
    SINGLE,
    TEXT_ONLY,
    UNCLIPPED,
    Update,
    canned_groups,
    load_policy,
    stage_for,
    update_of,
    weighed,
)
from safetensors.torch import save_file
from warmrl_grpo.config import GRPOConfig
from warmrl_grpo.method import GRPO

from warmrl.engine.passes import score_tokens
from warmrl.engine.processes import Processes

# Groups and token budget of each update: images and text in two rows, in many (an odd number, so that a rank gets a
# dummy), a rank without a row of its own, no image at all, images again.
CASES = {
    "mixed": (SHAPE, 16384),
    "accumulated": (SHAPE, 60),
    "single": (SINGLE, 16384),
    "text": (TEXT_ONLY, 16384),
    "single text": (TEXT_ONLY[1:], 16384),
    "again": (SHAPE, 60),
}


def updates(policy: Path, reference: Path) -> tuple[Processes, dict[str, Update], dict[str, torch.Tensor]]:
    """Each case's update on this process, GRPO with old and reference log-probabilities, and those."""
    processes, trained = Processes(), load_policy(policy)
    packed = processes.accelerator.prepare_model(trained.packed)
    found, scores = {}, {}
    for name, (shape, budget) in CASES.items():
        config = GRPOConfig(max_grad_norm=UNCLIPPED, token_budget=budget, reference_kl=0.04)
        stage = stage_for(trained, config, policy, processes, reference)
        method, groups = GRPO(config, stage), canned_groups(trained, shape)
        score_tokens(trained, groups, processes, budget, "old_logprob")
        score_tokens(method.reference, groups, processes, budget, "reference_logprob")
        completions = [one for group in groups for one in group.completions]
        scores[name] = torch.cat([one.signals["reference_logprob"] for one in completions])
        for one in completions:  # an old policy some way off, the same one for any number of processes
            one.signals["old_logprob"] = one.signals["old_logprob"] + 0.3 * torch.sin(torch.arange(len(one.tokens)))
        found[name] = update_of(stage, method, weighed(groups), packed)
    return processes, found, scores


def main(policy: str, reference: str, folder: str) -> None:
    """Write what this process found."""
    processes, found, scores = updates(Path(policy), Path(reference))
    out = {f"{case}/loss": torch.tensor(one.loss, dtype=torch.float64) for case, one in found.items()}
    out |= {f"{case}/{name}": g for case, one in found.items() for name, g in one.gradients.items()}
    out |= {f"{case}/scores": value for case, value in scores.items()}
    save_file(out, Path(folder) / f"rank-{processes.rank}-of-{processes.world}.safetensors")
    processes.accelerator.free_memory()  # before the process group: see `Workshop.close`
    processes.accelerator.end_training()


if __name__ == "__main__":
    main(*sys.argv[1:])
