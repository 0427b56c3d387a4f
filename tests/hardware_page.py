"""The table of `docs/hardware.md`: what GRPO takes on which GPU, by the plan's own arithmetic from published configs.

`python tests/hardware_page.py docs/hardware.md` writes the table into the page; a test checks that it is current.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from published_shapes import folder_of
from warmrl_grpo.config import GRPOConfig
from warmrl_transformers.config import TransformersConfig

from warmrl.domain.config import Choice
from warmrl.domain.recipe import ModelTable
from warmrl.domain.stages import LoRATable
from warmrl.engine.forecast.machines import GIB, KNOWN, Machine
from warmrl.engine.forecast.memory import total
from warmrl.engine.forecast.outline import Outline, outline
from warmrl.engine.forecast.stage import StagePlan, planned
from warmrl.engine.forecast.tokens import Completions, Prompts
from warmrl.plugin.registry import Registry

BEGIN, END = "<!-- table: tests/hardware_page.py -->", "<!-- end of table -->"
GPUS = (("rtx4090", 1), ("l40s", 1), ("a100", 1), ("h200", 1), ("a100", 8), ("h200", 8))
LENGTHS = Prompts(434, 434, 334, "stated"), Completions(400, 1024, "stated")
MODELS = {"qwen2.5-vl-3b": "Qwen2.5-VL-3B", "qwen2.5-vl-7b": "Qwen2.5-VL-7B", "qwen3-vl-8b": "Qwen3-VL-8B"}
BUDGET, ROWS, SAMPLES, PROMPTS = 8192, 128, 8, 64


def plan_of(model: Outline, lora: bool, device: Machine, processes: int) -> StagePlan:
    """GRPO at these lengths."""
    config = GRPOConfig(
        lora=LoRATable() if lora else None, train=["language"] if lora else ["language", "projector", "vision"],
        token_budget=BUDGET, samples_per_prompt=SAMPLES, prompts_per_step=PROMPTS,
    )  # fmt: skip
    sampler = Choice(kind="sampler", use="transformers", config=TransformersConfig(rows=ROWS))
    launch = SimpleNamespace(processes=processes, sharding="fsdp2" if processes > 1 else "none")
    recipe: Any = SimpleNamespace(launch=launch, model=SimpleNamespace(dtype="bfloat16"), sampler=sampler)
    choice = Choice(kind="RL algorithm", use="grpo", config=config)
    return planned("rl", choice, recipe, device, (model, None), LENGTHS, [])


def cell(plan: StagePlan) -> str:
    """GiB at the peak; with an asterisk: layers recomputed; struck out: it does not fit."""
    kept, lowest = total(plan.peak(recompute=False)[1]), plan.lowest()
    if lowest > plan.machine.bytes:
        return f"~~{lowest / GIB:.0f}~~"
    return f"{lowest / GIB:.0f}*" if plan.recomputes else f"{kept / GIB:.0f}"


def table() -> str:
    """The table."""
    heads = [f"{count} x {name} ({KNOWN[name].bytes / GIB:.0f})" for name, count in GPUS]
    lines = [f"| GiB a GPU | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    with tempfile.TemporaryDirectory() as place:
        for name, label in MODELS.items():
            folder = str(folder_of(name, Path(place)))
            model = outline(folder, None, ModelTable(path=folder, dtype="bfloat16"), Registry.installed())
            assert model is not None
            for lora, way in ((True, "LoRA, rank 64"), (False, "all of it")):
                cells = [cell(plan_of(model, lora, KNOWN[gpu], count)) for gpu, count in GPUS]
                lines.append(f"| {label}, {way} | {' | '.join(cells)} |")
    return "\n".join(lines)


def page(text: str) -> str:
    """The page with the table as it is now."""
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n{table()}\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    file = Path(sys.argv[1])
    file.write_text(page(file.read_text()))
