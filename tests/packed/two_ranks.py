"""Run by torchrun: the gradients of a plan over two ranks, under DDP or FSDP2, against one process; prints the gap."""

import sys
from pathlib import Path

import torch
import torch.distributed as dist

sys.path.insert(0, str(Path(__file__).parents[1]))

from encoded_groups import gradient_gaps, groups_for, run, some_loss
from tiny_models import tiny_model
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

from warmrl.packed.plan import plan
from warmrl.packed.policy import PackedPolicy


def main(how: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    rank, world = dist.get_rank(), dist.get_world_size()
    model, groups = tiny_model("idefics3"), groups_for("idefics3", ((1, 3), (0, 2), (0, 3)))
    _, expected = run(model, groups, share=True)
    model.zero_grad()
    policy = PackedPolicy(model)
    if how == "ddp":
        root = DistributedDataParallel(policy)
    else:
        mesh = init_device_mesh("cpu", (world,))
        for layer in policy.language_model.layers:
            fully_shard(layer, mesh=mesh)
        root = fully_shard(policy, mesh=mesh)
    for rows in plan(groups, token_budget=40, ranks=world):
        row = rows[rank]
        (root(row, some_loss(row)).loss * (0.0 if row.is_dummy else world)).backward()
    found = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    found = {name: g.full_tensor() if how == "fsdp" else g for name, g in found.items()}
    if rank == 0:
        print(f"gap={max(gradient_gaps(found, expected).values())}")
    del root  # before the process group: see `Workshop.close`
    dist.destroy_process_group()


main(sys.argv[1])
