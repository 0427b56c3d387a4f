"""Where a run's checkpoints lie: on one axis of steps through its stages, and which of them is the RL entry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

BASE = "base"

Place = tuple[int, str]


class Track:
    """The stages of a run, placed one after another by the policy that each starts from."""

    def __init__(self, stages: Sequence[Mapping[str, Any]]) -> None:
        self.stages = {stage["name"]: stage for stage in stages if stage["kind"] != "curator"}

    def start(self, stage: str) -> int:
        """Steps trained before this stage began, along the policies that it builds on; 0 for a curator."""
        return self.place(self.stages[stage]["policy"])[0] if stage in self.stages else 0

    def position(self, stage: str, step: int | None) -> int:
        """Steps trained since the base at step `step` of a stage; None is what it hands on (its end, or as chosen)."""
        if stage not in self.stages:
            return 0
        own = self.stages[stage]
        return self.start(stage) + ((own.get("handed_on") or own["steps"]) if step is None else step)

    def place(self, checkpoint: str) -> Place:
        """Position and stage of a checkpoint as a recipe spells it: `base`, `warm`, `rl@60`."""
        stage, _, step = checkpoint.partition("@")
        if step == "end" and stage in self.stages:
            return self.position(stage, self.stages[stage]["steps"]), stage
        return self.position(stage, int(step) if step.isdigit() else None), stage

    def ancestry(self) -> list[str]:
        """The stages that lead from the base to the last stage that trains, in order."""
        line: list[str] = []
        stage = next(reversed(self.stages), BASE)
        while stage in self.stages and stage not in line:
            line.insert(0, stage)
            stage = self.stages[stage]["policy"].partition("@")[0]
        return line

    def roles(self) -> dict[str, str]:
        """The checkpoints that matter most: `base`, `entry` (where RL begins; absent when that is the base), `end`."""
        line = self.ancestry()
        if not line:
            return {"base": BASE}
        rl = next((stage for stage in line if self.stages[stage]["kind"] == "RL algorithm"), None)
        entry = self.stages[rl]["policy"] if rl else BASE
        return {"base": BASE, "entry": entry, "end": line[-1]} if entry != BASE else {"base": BASE, "end": line[-1]}

    def pairs(self) -> dict[str, tuple[Place, Place]]:
        """What is compared with what: base to end, base to entry, entry to end."""
        places = {role: self.place(checkpoint) for role, checkpoint in self.roles().items()}
        wanted = {
            "base to end": ("base", "end"),
            "base to RL entry": ("base", "entry"),
            "RL entry to end": ("entry", "end"),
        }
        return {
            name: (places[one], places[two]) for name, (one, two) in wanted.items() if one in places and two in places
        }
