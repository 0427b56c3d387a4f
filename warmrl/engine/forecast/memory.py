"""Bytes of one process in each phase of a stage, line by line, from shapes; nothing is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from warmrl.packed.memory import WIDE, Activations, Lengths, Training, activations, forward_bytes
from warmrl.packed.shapes import Shapes

Lines = dict[str, int]
# Lines that are there whatever a row's length: what training cannot do without.
LEAST = ("weights", "gradients", "moments", "reference", "teacher")


@dataclass(frozen=True)
class Demand:
    """What a stage asks of a process.

    Args:
        shapes: The policy's.
        how: What trains, in which precision.
        row: The lengths of the largest row.
        trained: Parameters that the optimizer updates.
        several_rows: Whether an update takes more than one row, so that gradients are there from the start.
        processes: Processes of the run.
        sharded: Whether they share out weights, gradients and moments (FSDP2).
        fused_update: Whether AdamW's update takes one more copy of what trains.
        sampling: Bytes of the sampler's own.
        gathers: Whether sampling computes with the policy's own weights, whole in every process.
        scores: Whether there are passes that score before the update.
        reference: A frozen copy of the start, in bytes.
        snapshot: Another copy of the weights, in bytes.
        teacher: The teacher's weights, in bytes.
        teacher_states: What the teacher says of a step's tokens, in bytes.
        teacher_work: What the teacher's own pass takes, in bytes.
        features: Image features that are kept, in bytes.
        merged: Matrices that adapters are added to when the policy is saved, in bytes.
    """

    shapes: Shapes
    how: Training
    row: Lengths
    trained: int
    several_rows: bool
    processes: int = 1
    sharded: bool = False
    fused_update: bool = True
    sampling: int = 0
    gathers: bool = False
    scores: bool = False
    reference: int = 0
    snapshot: int = 0
    teacher: int = 0
    teacher_states: int = 0
    teacher_work: int = 0
    features: int = 0
    merged: int = 0

    @property
    def shards(self) -> int:
        """Among how many processes weights are shared out."""
        return self.processes if self.sharded else 1

    def held(self) -> Lines:
        """What is there in every phase."""
        adapters = self.trained * WIDE if self.how.rank else 0
        return {
            "weights": (self.shapes.total * self.how.weights + adapters) // self.shards,
            "moments": 2 * self.trained * WIDE // self.shards,
            "reference": self.reference,
            "snapshot": self.snapshot,
            "teacher": self.teacher,
            "image features": self.features,
        }

    def copies(self) -> int:
        """Low-precision copies that autocast keeps of the matrices that train."""
        if not self.how.casts or self.how.rank or self.how.weights == self.how.products:
            return 0
        return sum(self.shapes.matrices[part] for part in self.how.parts) * self.how.products

    def gathered(self) -> int:
        """What sharding gathers for work: two layers, and the embedding and the head, which belong to the root."""
        if self.shards == 1:
            return 0
        root = self.shapes.parameters["embedding"] + self.shapes.parameters["head"]
        return (2 * self.shapes.decoder.matrices + root) * self.how.weights


def phases(demand: Demand, recompute: bool) -> dict[str, Lines]:
    """Bytes by line in every phase of a training stage."""
    found = activations(demand.shapes, demand.row, demand.how)
    work = {"gathered": demand.gathered()}
    out = {"train": max(moments_of_update(demand, found, recompute), key=total)}
    if demand.sampling:
        whole = demand.shapes.total * demand.how.weights if demand.shards > 1 and demand.gathers else demand.gathered()
        copies = demand.copies() if demand.gathers else 0
        out["rollout"] = {"gathered": whole} | {"low-precision copies": copies, "sampler": demand.sampling}
    if demand.scores or demand.teacher_work:
        own = forward_bytes(demand.shapes, demand.row, demand.how) if demand.scores else 0
        out["score"] = work | {"activations": max(own, demand.teacher_work)}
    out["save"] = work | {"merged matrices": demand.merged}
    states = {"teacher's states": demand.teacher_states}
    held = demand.held()
    return {name: held | (states if name in ("train", "score") else {}) | lines for name, lines in out.items()}


def moments_of_update(demand: Demand, found: Activations, recompute: bool) -> list[Lines]:
    """Where an update may take the most: at the head, as the backward pass begins and ends, as AdamW works.

    Gradients come in the order in which activations go, so between beginning and end nothing is higher.
    """
    gradients = demand.trained * WIDE // demand.shards
    buckets = {"buckets of DDP": 0 if demand.processes == 1 or demand.sharded else demand.trained * WIDE}
    work = {"gathered": demand.gathered()} | buckets
    early = work | {"gradients": gradients if demand.several_rows else 0}
    copies = 0 if demand.shards > 1 else demand.copies()  # sharding casts what it gathers
    head, backward = found.peaks(recompute)
    kept = found.recomputed if recompute else found.kept
    last = copies // demand.shapes.decoder.count if recompute else copies
    embedding = 0 if demand.how.rank else demand.shapes.parameters["embedding"] * WIDE
    update = demand.trained // demand.shards if demand.fused_update else 2 * min(demand.shapes.largest, demand.trained)
    return [
        early | {"low-precision copies": copies, "activations": kept, "output head": head - kept},
        early | {"low-precision copies": last, "activations": backward - found.head_gradient}
        | {"output head": found.head_gradient},
        work | {"gradients": gradients, "activations": max(embedding, found.layer + found.working)},
        work | {"gradients": gradients, "update": update * WIDE},
    ]  # fmt: skip


def total(lines: Mapping[str, int]) -> int:
    """All lines."""
    return sum(lines.values())


def least(demand: Demand) -> int:
    """What training takes however short its rows are: weights, gradients, moments, and the models beside them."""
    lines = demand.held() | {"gradients": demand.trained * WIDE // demand.shards}
    return sum(lines[name] for name in LEAST)
