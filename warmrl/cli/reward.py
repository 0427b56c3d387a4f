"""`warmrl reward`: score a file of completions, to see what a grader says before it is trusted."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from warmrl.domain.problem import Problem
    from warmrl.domain.reward import Reward

app = typer.Typer(help="Try rewards on rows of your own.", no_args_is_help=True)

BATCH = 256
"""Rows that are graded side by side before they are printed, in order."""
SHOWN = 60
"""Characters of an extracted answer that are shown to a person."""


@app.callback()
def group() -> None:
    """Try rewards on rows of your own."""


@app.command()
def score(
    file: Annotated[
        Path,
        typer.Argument(
            help='JSONL with {"gold", "completion"} a row; other keys are what the grader may need.', metavar="FILE"
        ),
    ],
    use: Annotated[str, typer.Option("--use", help="The reward.", metavar="NAME")] = "math",
    answer: Annotated[str, typer.Option("--answer", help="The answer style.", metavar="NAME")] = "boxed",
    sets: Annotated[
        list[str] | None, typer.Option("--set", metavar="K=V", help="Change a setting of the reward: deadline=5.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a row.")] = False,
) -> None:
    """Score each row; in order."""
    rows = rows_of(file)
    reward = opened(use, answer, sets or [])
    began, verdicts = time.perf_counter(), Counter[str]()
    try:
        reward.start()
        for found in graded(reward, rows):
            verdicts[found["verdict"]] += 1
            print(json.dumps(found) if as_json else line_of(found))  # noqa: T201
    finally:
        reward.close()
    seconds = time.perf_counter() - began
    counts = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.most_common())
    rate = f"{verdicts['right'] / len(rows):.1%} right" if rows else "nothing to grade"
    print(f"{len(rows)} rows under `{use}` in {seconds:.1f} s: {counts or 'none'} ({rate}).", file=sys.stderr)  # noqa: T201


def opened(use: str, answer: str, sets: list[str]) -> Reward[Any]:
    """The reward with its settings and answer style. Raises `RecipeError` for a name or setting that isn't one."""
    from pydantic import ValidationError

    from warmrl.domain.config import AnswerChoice, Config, RewardChoice
    from warmrl.domain.errors import RecipeError
    from warmrl.engine.grading import open_reward
    from warmrl.engine.recipe_errors import explain
    from warmrl.engine.recipe_file import assign
    from warmrl.engine.run_place import home
    from warmrl.plugin.registry import Registry

    class Asked(Config):
        reward: RewardChoice
        answer: AnswerChoice

    registry = Registry.installed()
    settings: dict[str, Any] = {}
    for one in sets:
        assign(settings, one)
    tables = {"reward": {"use": use, **settings}, "answer": {"use": answer}}
    try:
        asked = Asked.model_validate(tables, context={"registry": registry})
    except ValidationError as error:
        raise RecipeError(explain(Path("warmrl reward score"), error, Asked)) from None
    return open_reward(asked.reward, registry.instance(asked.answer), registry, home() / "store")


def rows_of(file: Path) -> list[tuple[Problem, str]]:
    """The problem and completion of every row. Raises `UsageError` naming the row."""
    from warmrl.domain.errors import UsageError

    try:
        lines = file.read_text(encoding="utf-8-sig").split("\n")
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} cannot be read: it is no UTF-8 text (byte {error.start}).") from None
    return [row_of(file, number, line) for number, line in enumerate(lines, 1) if line.strip()]


def row_of(file: Path, number: int, line: str) -> tuple[Problem, str]:
    """One row. A gold answer that is no text (a number, a list) is taken as its JSON; `kind` routes a mixed reward.

    Where the row has the answer as somebody else took it out (`extraction`), no completion is needed.
    """
    from warmrl.domain.errors import UsageError
    from warmrl.domain.problem import Problem

    try:
        row = dict(json.loads(line))
        gold = row.pop("gold") if "gold" in row else row["answer"]
        completion = row.pop("completion", "") if "extraction" in row else row.pop("completion")
        if gold is None or not isinstance(completion, str):
            raise TypeError
    except (ValueError, KeyError, TypeError, RecursionError):
        raise UsageError(
            f'{file}, row {number}: a row is a JSON object with "gold" and "completion", a text; this is {line[:80]!r}.'
        ) from None
    gold, kind = gold if isinstance(gold, str) else json.dumps(gold), str(row.get("kind", "math"))
    return Problem(str(number), (), gold, kind, extra=row), completion


def graded(reward: Reward[Any], rows: list[tuple[Problem, str]]) -> Iterator[dict[str, Any]]:
    """What the grader says of every row, in order; rows share its processes where it has some."""
    from warmrl.domain.reward import PooledRewardConfig

    workers = reward.config.workers if isinstance(reward.config, PooledRewardConfig) else 1
    pool = ThreadPoolExecutor(workers)
    try:
        for start in range(0, len(rows), BATCH):
            yield from pool.map(lambda row: graded_row(reward, *row), rows[start : start + BATCH])
    finally:
        pool.shutdown(cancel_futures=True)


def graded_row(reward: Reward[Any], problem: Problem, completion: str) -> dict[str, Any]:
    """One row's score, extracted answer, verdict and seconds."""
    began = time.perf_counter()
    (grade,) = reward.grade(problem, [completion])
    return {
        "score": grade.score,
        "extracted": grade.extracted,
        "verdict": grade.verdict,
        "seconds": round(time.perf_counter() - began, 4),
    }


def line_of(found: dict[str, Any]) -> str:
    """A row for a person."""
    answer = found["extracted"]
    short = answer if answer is None or len(answer) <= SHOWN else answer[:SHOWN] + "…"
    return f"{found['score']:.3f}  {found['verdict']:<10} {short!r}"
