"""What a curator made, for a person: its funnel, where its problems came from, a few of them side by side."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from warmrl.engine.curated import ORIGINS, Curated, question


def described(curated: Curated, examples: int) -> dict[str, Any]:
    """What there is to say of it, as JSON values."""
    shown = [
        {"id": one.id, "question": question(one), "gold": one.gold, "solution": one.solution}
        | ({} if one.rejected is None else {"rejected": one.rejected})
        | {name: one.extra[name] for name in ORIGINS if name in one.extra}
        for one in spread(curated.problems, examples)
    ]
    told = {"use": curated.use, "problems": len(curated.problems), "funnel": curated.funnel}
    return told | {"counts": curated.counts(), "examples": shown}


def spread(problems: list[Any], count: int) -> list[Any]:
    """A few of many, evenly apart."""
    step = max(1, len(problems) // max(count, 1))
    return problems[::step][:count]


def show(target: str, curated: Curated, examples: int, as_json: bool) -> None:
    """Print it: JSON, tables on a terminal, plain lines elsewhere."""
    found = described(curated, examples)
    console = Console()
    if as_json:
        print(json.dumps({"target": target, **found}))  # noqa: T201
    elif console.is_terminal:
        for table in tables(target, found):
            console.print(table)
    else:
        for line in lines(target, found):
            print(line)  # noqa: T201


def reasons(step: dict[str, Any]) -> str:
    """Why a step left items out."""
    return ", ".join(f"{why}: {count}" for why, count in step["dropped"].items())


def lines(target: str, found: dict[str, Any]) -> Iterator[str]:
    """Plain lines."""
    yield f"{target}: {found['problems']} problems, made by {found['use']}"
    for step in found["funnel"]:
        why = reasons(step)
        yield f"{step['step']}: {step['kept']} of {step['taken']}" + (f" ({why})" if why else "")
    for name, counts in found["counts"].items():
        for label, count in counts.items():
            yield f"{name} {label}: {count}"
    for one in found["examples"]:
        yield ""
        for name, value in one.items():
            yield f"{name}: {visible(value)}"


def tables(target: str, found: dict[str, Any]) -> Iterator[Table]:
    """Tables: the funnel, the counts, and each example with its sides side by side."""
    title = f"{target}: {found['problems']} problems, made by `{found['use']}`"
    funnel = Table("step", "taken", "kept", "left out", title=Text(title), title_justify="left")
    for step in found["funnel"]:
        funnel.add_row(Text(step["step"]), str(step["taken"]), str(step["kept"]), Text(reasons(step)))
    yield funnel
    for name, counts in found["counts"].items():
        table = Table(name, "problems")
        for label, count in counts.items():
            table.add_row(Text(label), str(count))
        yield table
    for one in found["examples"]:
        sides = ["chosen", "rejected"] if "rejected" in one else ["answer"]
        head = f"{one['id']}: {visible(one['question'])} (right: {visible(one['gold'])})"
        table = Table(*sides, title=Text(head), title_justify="left", show_lines=True)
        table.add_row(*(Text(visible(one[name])) for name in ("solution", "rejected") if name in one))
        origins = [Text(visible(one[name])) for name in ("chosen_from", "rejected_from") if name in one]
        if len(origins) == len(sides):
            table.add_row(*origins)
        yield table


def visible(value: Any) -> str:
    """Text of models with nothing in it that a terminal would obey."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return "".join(one if one.isprintable() or one == "\n" else "\ufffd" for one in text)
