"""What a curator makes, kept block by block: a kill costs one block, and a signal is answered between two."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from warmrl.domain.errors import Interrupted
from warmrl.domain.problem import Problem
from warmrl.engine.entries import CURATED
from warmrl.engine.samples import write_rows
from warmrl.engine.sampling import blocks_of
from warmrl.engine.storage import write_json
from warmrl.engine.work import Work

if TYPE_CHECKING:
    from warmrl.engine.stage import Stage

Rows = list[dict[str, Any]]


def in_blocks(
    stage: Stage, make: Callable[[Sequence[Problem]], Rows], problems: Sequence[Problem], name: str = ""
) -> Rows:
    """`make`'s rows (JSON values) for problems, a sampling block a process at a time.

    Finished blocks of exactly these problems are read back, with what they took (`.work.json`). `make` runs in every
    process; what it gives in the first counts, so that a deadline that one of them missed does not part them. Raises
    `Interrupted` between blocks.
    """
    rows: Rows = []
    stage.work.settle(stage.processes)
    for block in blocks_of(len(problems), stage.sampling.block_size * stage.processes.world):
        some = [problems[place] for place in block]
        file = stage.folder / "blocks" / name / f"{block.start:06d}-{identity(some)}.jsonl"
        work = file.with_suffix(".work.json")
        if stage.processes.agree(file.exists()):
            stage.work.keep(Work.read(json.loads(work.read_text()) if work.exists() else None))
            rows += [json.loads(line) for line in file.read_bytes().splitlines()]
            continue
        found = stage.processes.agree(make(some))
        rows += found
        spent = stage.work.take(stage.processes)
        stage.work.keep(spent)
        if stage.processes.first:
            write_json(work, spent.columns())
            write_rows(file, found)
        stop_if_asked(stage, f"{block.stop} of {len(problems)} problems done")
    return rows


def identity(problems: Sequence[Problem]) -> str:
    """What identifies a list of a stage's problems: their ids in order (64 bits of SHA-256)."""
    ids = "\0".join(one.id for one in problems)
    return hashlib.sha256(ids.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def stop_if_asked(stage: Stage, done: str) -> None:
    """Raise `Interrupted` in every process when a signal came to one; `done` says what is kept."""
    if signal := stage.processes.agree(stage.stopping()):
        raise Interrupted(
            f"Stopped by signal {signal} in stage `{stage.name}`, {done}; they are kept, and the same command goes on "
            "with the next.",
            128 + signal,
        )


def keep_curated(stage: Stage, problems: Sequence[Problem], seconds: float) -> None:
    """Write the curated problems, then the record that says the stage is done."""
    stage.work.once(stage.processes, prompts=len(stage.problems))
    stage.work.settle(stage.processes)
    if stage.processes.first:
        sources = {problem.id: problem for problem in stage.problems}
        rows = [row_of(problem, sources[problem.extra["source"]]) for problem in problems]
        write_rows(stage.folder / CURATED, rows)
        record = {"steps": 0, "problems": len(problems), "seconds": seconds, "findings": stage.findings}
        record |= {"funnel": [asdict(step) for step in stage.funnel]} if stage.funnel else {}
        work = stage.work.total([])
        record |= {"work": work.record()} if work else {}
        write_json(stage.folder / "done.json", record)
        shutil.rmtree(stage.folder / "blocks", ignore_errors=True)
    stage.processes.wait()


def row_of(problem: Problem, source: Problem) -> dict[str, Any]:
    """What is kept of a curated problem: all that its source doesn't say."""
    own = {name: value for name, value in problem.extra.items() if source.extra.get(name) != value}
    row = {"id": problem.id, "source": own.pop("source"), "solution": problem.solution}
    row |= {} if problem.rejected is None else {"rejected": problem.rejected}
    return row | ({"extra": own} if own else {})
