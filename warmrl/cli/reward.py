"""`warmrl reward`: score a file of completions, to see what a grader says before it is trusted."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(help="Try rewards on rows of your own.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Try rewards on rows of your own."""


@app.command()
def score(
    file: Annotated[Path, typer.Argument(help='JSONL with {"gold", "completion"} a row.', metavar="FILE")],
    use: Annotated[str, typer.Option("--use", help="The reward.")] = "math",
    answer: Annotated[str, typer.Option("--answer", help="The answer style.")] = "boxed",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a row.")] = False,
) -> None:
    """Score each row; in order."""
    from warmrl.plugin.registry import Registry

    registry = Registry.installed()
    style = registry.instance(registry.choose("answer style", {"use": answer}, {"registry": registry}))
    reward = registry.instance(registry.choose("reward", {"use": use}, {"registry": registry}), style)
    try:
        for number, (gold, completion) in enumerate(rows_of(file)):
            found = scored(reward, style, str(number), gold, completion)
            shown = (
                json.dumps(found) if as_json else f"{found['score']:.3f}  {found['verdict']}  {found['extracted']!r}"
            )
            print(shown)  # noqa: T201
    finally:
        reward.close()


def rows_of(file: Path) -> list[tuple[str, str]]:
    """Gold and completion of every row. Raises `UsageError` naming the row."""
    from warmrl.domain.errors import UsageError

    out = []
    try:
        lines = file.read_text().splitlines()
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}.") from None
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            out.append((str(row["gold"]), str(row["completion"])))
        except (ValueError, KeyError, TypeError):
            raise UsageError(
                f'{file}, row {number}: a row is a JSON object with "gold" and "completion"; this is {line[:80]!r}.'
            ) from None
    return out


def scored(reward: Any, style: Any, name: str, gold: str, completion: str) -> dict[str, Any]:
    """One row's score, extracted answer, verdict and seconds."""
    from warmrl.domain.problem import Problem

    began = time.perf_counter()
    timed_out = getattr(reward, "timeouts", 0)
    value = reward.score(Problem(name, (), gold), [completion])[0]
    extracted = style.extract(completion)
    late = getattr(reward, "timeouts", 0) > timed_out
    wrong = "timed out" if late else "no answer" if extracted is None else "wrong"
    return {
        "score": value,
        "extracted": extracted,
        "verdict": "right" if value == 1.0 else wrong,
        "seconds": round(time.perf_counter() - began, 4),
    }
