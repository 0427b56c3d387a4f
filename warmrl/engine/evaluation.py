"""Evaluation: fixed blocks of samples, kept once, from which every metric is a pure function."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from warmrl.domain.answer import AnswerStyle
from warmrl.domain.errors import Interrupted, ServiceError
from warmrl.domain.group import Completion, Group
from warmrl.domain.problem import Problem
from warmrl.domain.recipe import EvalTable
from warmrl.domain.reward import Reward
from warmrl.domain.sample import Sample
from warmrl.domain.sampler import Request
from warmrl.engine.entries import DONE_EVALUATION
from warmrl.engine.passes import fill
from warmrl.engine.policy import Policy
from warmrl.engine.processes import Processes
from warmrl.engine.randomness import seed_of
from warmrl.engine.samples import SAMPLES
from warmrl.engine.sampling import Sampling, asked, blocks_of, request
from warmrl.engine.storage import storing, write_text

Draw = Callable[[Sequence[Request]], list[list[Completion]]]


@dataclass(frozen=True)
class Evaluation:
    """One checkpoint on one suite: what to sample, how to grade it, where it is kept."""

    folder: Path
    problems: Sequence[Problem]
    style: AnswerStyle
    grader: Reward[Any]
    table: EvalTable
    processes: Processes
    stopping: Callable[[], int]
    on_block: Callable[[int, int], None]

    def sample(self, sampling: Sampling, policy: Policy) -> None:
        """Make the blocks that are missing, then put all together. Raises `Interrupted` between blocks.

        Raises `ServiceError` in all processes when it comes up in one; the finished blocks are kept.
        """
        blocks = blocks_of(len(self.problems), sampling.block_size)
        work = [(kind, block) for kind in ("greedy", "sampled") for block in blocks]
        try:
            with sampling.on(policy) as sample, self.processes.together():
                self.make_missing(work, policy, sample)
        except ServiceError as error:
            raise ServiceError(
                f"{error} Finished blocks of the evaluation are kept; the same command goes on."
            ) from None
        if self.processes.first:
            self.join([self.block_file(kind, block) for kind, block in work])
        self.processes.wait()

    def make_missing(self, work: Sequence[tuple[str, range]], policy: Policy, sample: Draw) -> None:
        """This process's share of the blocks."""
        for number, (kind, block) in enumerate(work):
            file = self.block_file(kind, block)
            if number % self.processes.world == self.processes.rank and not file.exists():
                rows = self.make(kind, block, policy, sample)
                lines = (json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)
                write_text(file, "".join(lines))
            self.on_block(number + 1, len(work))
            if signal := self.stopping():
                raise Interrupted(
                    f"Stopped by signal {signal} during an evaluation; finished blocks are kept, and the same "
                    "command goes on with the next one.",
                    128 + signal,
                )

    def block_file(self, kind: str, block: range) -> Path:
        """Where a block's rows are."""
        return self.folder / "blocks" / f"{kind}-{block.start:06d}.jsonl"

    def make(self, kind: str, block: range, policy: Policy, sample: Draw) -> Iterator[dict[str, Any]]:
        """Sample and grade one block: a row per completion."""
        count = 1 if kind == "greedy" else self.table.samples
        groups = [Group(self.problems[i], [], (asked(self.problems[i], self.style),)) for i in block]
        temperature = 0.0 if kind == "greedy" else 1.0

        def seed(problem: Problem, index: int) -> int:
            return seed_of(self.table.seed, "evaluation", problem.id, index)

        requests = [request(g, count, seed, max_tokens=self.table.max_tokens, temperature=temperature) for g in groups]
        for group, completions in zip(groups, sample(requests), strict=True):
            group.completions = completions
        fill(policy, groups)
        for group in groups:
            verdicts = self.grader.score(group.problem, [one.text for one in group.completions])
            for index, (one, verdict) in enumerate(zip(group.completions, verdicts, strict=True)):
                yield {"kind": kind, **asdict(self.graded(group.problem, index, one, verdict)), **per_token(one)}

    def graded(self, problem: Problem, index: int, one: Completion, verdict: float) -> Sample:
        """A completion with its answer, verdict and sums."""
        extracted = self.style.extract(one.text)
        return Sample(
            problem=problem.id,
            index=index,
            text=one.text,
            extracted=extracted,
            canonical=None if extracted is None else self.grader.canonical(extracted),
            verdict="right" if verdict == 1.0 else "no answer" if extracted is None else "wrong",
            well_formed=self.style.well_formed(one.text),
            finish=one.finish,
            tokens=len(one.tokens),
            entropy=None if one.entropies is None else float(sum(one.entropies)),
            surprisal=None if one.logprobs is None else float(-sum(one.logprobs)),
        )

    def join(self, files: Sequence[Path]) -> None:
        """Blocks into `samples.jsonl` and, beside it, the per-token numbers."""
        rows = [json.loads(line) for file in files for line in file.read_bytes().splitlines()]
        lengths = torch.tensor([row["tokens"] for row in rows])
        tensors = {"tokens": lengths}
        for name in ("logprobs", "entropies"):
            if all(row[name] is not None for row in rows):
                tensors[name] = torch.tensor([value for row in rows for value in row[name]], dtype=torch.float32)
        with storing(self.folder):
            save_file(tensors, self.folder / "tokens.safetensors")
        kept = ({k: v for k, v in row.items() if k not in ("logprobs", "entropies")} for row in rows)
        write_text(self.folder / SAMPLES, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in kept))
        write_text(self.folder / DONE_EVALUATION, json.dumps({"samples": len(rows)}) + "\n")
        shutil.rmtree(self.folder / "blocks")


def per_token(one: Completion) -> dict[str, Any]:
    """The per-token log-probabilities and entropies of a completion."""
    return {"logprobs": one.logprobs, "entropies": one.entropies}
