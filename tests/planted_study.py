"""A study's folder as its runs leave it, with planted answers: no model, no training."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file
from tokenizers import Tokenizer

from warmrl.engine.entries import Entries
from warmrl.engine.samples import block_for, write_rows
from warmrl.engine.study_file import StudyFile, read

ROOT = Path(__file__).parent.parent
TOKENIZER = ROOT / "plugins/warmrl_pocket/weights/base/tokenizer.json"
STUDY = """version = 1
name = "planted"
extends = "{base}"
[study]
seeds = {seeds}
control = "{control}"
in_domain = "validation"
[suite.validation]
use = "files"
path = "{data}"
"""
ARM = """[arm.{name}.stage.warm]
use = "{use}"
data = "warmup"
"""
Verdict = Callable[[str | None, int | None, str, int, int], tuple[str, str]]
"""Of arm, seed, point (`base`, `entry`, `end`), the problem's number and the sample (-1: greedy): verdict, finish."""


@dataclass
class Planted:
    """Writes the study; `problems` are rows of a `files` dataset."""

    folder: Path
    problems: Sequence[Mapping[str, Any]]
    verdict: Verdict
    arms: Sequence[str] = ("none", "sft")
    seeds: Sequence[int] = (1, 2)
    samples: int = 6

    def __post_init__(self) -> None:
        self.tokenizer = Tokenizer.from_file(str(TOKENIZER))
        self.end = self.tokenizer.token_to_id("<end_of_utterance>")
        self.folder.mkdir(parents=True, exist_ok=True)
        data = self.folder / "data.jsonl"
        data.write_text("".join(json.dumps(row) + "\n" for row in self.problems))
        arms = "".join(ARM.format(name=name, use="none" if name == "none" else "sft") for name in self.arms)
        base = ROOT / "recipes/base/pocket.toml"
        text = STUDY.format(base=base, seeds=list(self.seeds), control=self.arms[0], data=data)
        self.recipe = self.folder / "study.toml"
        self.recipe.write_text(text + arms)

    def write(self) -> StudyFile:
        """Every cell's evaluations, and the store that they refer to."""
        study = read(self.recipe)
        assert study is not None
        suite = Entries(study.recipes[self.arms[0]], Path()).suite("validation")
        for cell in study.cells:
            points = (("base", "base"), ("entry", "warm"), ("end", "rl"))
            for point, checkpoint in points:
                arm, seed = (None, None) if point == "base" else (cell.arm, cell.seed)
                self.evaluation(self.folder / cell.folder, arm, seed, point, checkpoint, suite.prompts)
            stores = sorted(self.folder.glob("store/*"))
            entries = [f"../../store/{one.name}" for one in stores]
            run = {"name": "planted", "state": "finished", "stages": {}, "entries": entries}
            (self.folder / cell.folder / "run.json").write_text(json.dumps(run))
            (self.folder / cell.folder / "report.json").write_text(json.dumps({"kind": "run"}))
        return study

    def evaluation(
        self, run: Path, arm: str | None, seed: int | None, point: str, checkpoint: str, prompts: Mapping[str, str]
    ) -> None:
        """One policy's answers: `samples.jsonl`, and the blocks with their tokens."""
        told = []
        for kind, indices in (("greedy", [-1]), ("sampled", range(self.samples))):
            store = self.folder / "store" / f"samples-{kind}-{arm}-{seed}-{point}"
            store.mkdir(parents=True, exist_ok=True)
            rows, ids, entropies = [], [], []
            for number, name in enumerate(prompts):
                for index in indices:
                    verdict, finish = self.verdict(arm, seed, point, number, index)
                    text, tokens = self.answer(number, verdict, finish)
                    row = {"problem": name, "prompt": prompts[name], "index": max(index, 0), "completion": text}
                    rows.append({**row, "finish": finish, "tokens": len(tokens), "entropy": 0.0, "surprisal": 0.0})
                    ids += tokens
                    entropies += [0.01 * place for place in range(len(tokens))]
                    told.append(graded(row, store.name, kind, verdict, finish))
            block = block_for(store, [(name, 0, len(indices)) for name in prompts], prompts)
            write_rows(block.file, rows)
            arrays = {"ids": np.array(ids, np.int32), "entropies": np.array(entropies, np.float32)}
            save_file(arrays, block.tokens())
        file = run / "evaluations" / f"{checkpoint}.validation" / "samples.jsonl"
        file.parent.mkdir(parents=True, exist_ok=True)
        write_rows(file, told)

    def answer(self, number: int, verdict: str, finish: str) -> tuple[str, list[int]]:
        """A text that the pocket could have written, and its tokens."""
        ids = self.tokenizer.encode(f"<answer> {number} + {len(verdict)} </answer>", add_special_tokens=False).ids
        text = self.tokenizer.decode(ids, skip_special_tokens=False)
        return text, ids if finish == "length" else [*ids, self.end]


def graded(row: Mapping[str, Any], sampling: str, kind: str, verdict: str, finish: str) -> dict[str, Any]:
    """A row of `samples.jsonl`, as far as it is read."""
    kept = {name: row[name] for name in ("problem", "index", "completion")}
    extracted = None if verdict == "no answer" else "7"
    return {**kept, "sampling": sampling, "kind": kind, "extracted": extracted, "verdict": verdict, "finish": finish}
