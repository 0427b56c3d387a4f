"""Checkpoints of the pocket as files: random ones made on demand, trained ones measured, sealed and shipped."""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForImageTextToText, AutoProcessor

from warmrl.api import Problem, WarmrlError
from warmrl_pocket.build import SIZES, build
from warmrl_pocket.config import GeometryConfig
from warmrl_pocket.geometry import PocketGeometry

REVISION = "2"  # of random checkpoints: raise it when their bytes change
MANIFEST = "manifest.json"
SAMPLES = 16


@dataclass(frozen=True)
class Score:
    """What a checkpoint does on problems: shares of right answers, and nats per sampled token."""

    greedy: float
    pass_1: float
    pass_16: float
    entropy: float
    problems: int


def random_checkpoint(name: str) -> Path:
    """The folder of a randomly initialised checkpoint in the user's cache, made when it isn't there yet."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "warmrl" / "pocket"
    folder = home / f"{name}-{REVISION}"
    if not folder.exists():
        home.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".making-", dir=home))
        build(scratch, SIZES[name])
        try:
            scratch.rename(folder)
        except OSError:  # another process was quicker
            shutil.rmtree(scratch)
    return folder


def ship(policy: Path, target: Path, problems: int = 300) -> Score:
    """Copy a trained checkpoint to `target` with a manifest of its hashes and what it scores on validation."""
    shutil.rmtree(target, ignore_errors=True)
    model = AutoModelForImageTextToText.from_pretrained(policy, dtype=torch.float32)
    model.save_pretrained(target)
    AutoProcessor.from_pretrained(policy).save_pretrained(target)
    score = evaluate(target, PocketGeometry(GeometryConfig(split="validation", size=problems)).problems())
    manifest = {"files": hashes(target), "validation": {k: round(v, 4) for k, v in vars(score).items()}}
    (target / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")
    return score


def check_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a shipped checkpoint. Raises `WarmrlError` naming the first file that isn't what it says."""
    manifest = json.loads((folder / MANIFEST).read_text())
    found = hashes(folder)
    for name in sorted(found.keys() | manifest["files"].keys()):
        if found.get(name) != manifest["files"].get(name):
            raise WarmrlError(f"{folder / name} is not the file that {MANIFEST} names; rebuild or reinstall it.")
    return manifest


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of a checkpoint, by name."""
    files = sorted(path for path in folder.iterdir() if path.name != MANIFEST)
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def evaluate(folder: Path, problems: Sequence[Problem], samples: int = SAMPLES, seed: int = 0) -> Score:
    """Score a checkpoint by transformers' own `generate`: greedy, and `samples` at temperature 1."""
    torch.set_num_threads(1)
    model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval()
    processor = AutoProcessor.from_pretrained(folder)
    greedy, _ = _right(model, processor, problems, 1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        sampled, entropy = _right(model, processor, problems, samples)
    missed = [math.comb(samples - right, min(16, samples)) / math.comb(samples, min(16, samples)) for right in sampled]
    count = len(problems)
    return Score(sum(greedy) / count, sum(sampled) / samples / count, 1 - sum(missed) / count, entropy, count)


def _right(model: Any, processor: Any, problems: Sequence[Problem], samples: int) -> tuple[list[int], float]:
    """How many of each problem's samples are right, and the mean entropy of a sampled token in nats."""
    right, nats, tokens = [], 0.0, 0
    end = processor.tokenizer.eos_token_id
    for start in range(0, len(problems), 32):
        block = problems[start : start + 32]
        chats = [[{"role": "user", "content": [_part(part) for part in p.messages[0].parts]}] for p in block]
        inputs = processor.apply_chat_template(
            chats, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
        )
        output = model.generate(
            **inputs,
            max_new_tokens=32,
            do_sample=samples > 1,
            num_return_sequences=samples,
            top_k=0 if samples > 1 else None,
            output_logits=True,
            return_dict_in_generate=True,
        )
        ids = output.sequences[:, inputs["input_ids"].shape[1] :]
        log_p = torch.stack(output.logits, dim=1).log_softmax(-1)
        alive = torch.cumsum(ids == end, 1) - (ids == end).long() == 0
        nats += float(-(log_p.exp() * log_p).sum(-1)[alive].sum())
        tokens += int(alive.sum())
        texts = processor.batch_decode(ids, skip_special_tokens=True)
        for i, problem in enumerate(block):
            mine = texts[i * samples : (i + 1) * samples]
            right.append(sum(_answer(text) == problem.gold for text in mine))
    return right, nats / tokens


def _part(part: Any) -> dict[str, Any]:
    return {"type": "text", "text": part.text} if hasattr(part, "text") else {"type": "image", "image": part.load()}


def _answer(text: str) -> str | None:
    """What stands between the last pair of answer tags."""
    _, opened, rest = text.rpartition("<answer>")
    answer, closed, _ = rest.partition("</answer>")
    return answer.strip() if opened and closed else None
