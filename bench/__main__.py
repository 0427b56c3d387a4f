"""`python -m bench`: canned workloads on every contender installed, interleaved, after a parity gate."""

from __future__ import annotations

import json
import sys
import time
import warnings
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console

# A gate on a time asks for this share of the figure: the machine is shared.
TIME_SLACK = 0.6


app = typer.Typer(add_completion=False)


@app.command()
def main(
    only: Annotated[list[str] | None, typer.Option(help="Only these cases (again for more).")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write everything measured to this file.")] = None,
    markdown_file: Annotated[Path | None, typer.Option("--markdown", help="Write the documentation's tables.")] = None,
    gate: Annotated[bool, typer.Option("--gate", help="Exit 1 when a count is short, or a time by far.")] = False,
    repeats: Annotated[int, typer.Option(min=1, help="Timed updates of each contender.")] = 3,
    defaults: Annotated[bool, typer.Option(help="TRL with its defaults too.")] = True,
    scale: Annotated[float | None, typer.Option(help="Divide all lengths by this (default: the shape's).")] = None,
    shape: Annotated[str, typer.Option(help="small, qwen2.5-vl-3b, qwen2.5-vl-7b-lora.")] = "small",
) -> None:
    """Compare warmrl with its peers: work, time and memory of the same updates."""
    warnings.simplefilter("ignore")
    console = Console(width=None if sys.stdout.isatty() else 160)
    if shape == "small":
        torch.set_num_threads(1)
    from bench.cases import CASES, TRL, Settings
    from bench.shapes import SHAPES
    from bench.table import as_json, environment_line, markdown, show

    unknown = [name for name in only or () if name not in CASES]
    if unknown or shape not in SHAPES:
        console.print(f"There are the cases {', '.join(CASES)} and the shapes {', '.join(SHAPES)}.")
        raise typer.Exit(2)
    if not TRL:
        console.print("TRL is not installed, so its rows are missing: `pip install -c constraints.txt '.[test]'`.")
    chosen = SHAPES[shape]
    settings = Settings(chosen, scale or chosen.scale, repeats, defaults)
    done, start = [], time.perf_counter()
    for name in only or CASES:
        case = CASES[name](settings)
        show(case, console)
        done.append(case)
        if json_file:
            json_file.write_text(json.dumps(as_json(done), indent=1))
        if markdown_file:
            markdown_file.write_text(markdown(done) + "\n")
    console.print(f"{environment_line()} Lengths / {settings.scale:g}. {time.perf_counter() - start:.0f} s in all.")
    short = [(c.name, f) for c in done for f in c.figures if not f.reached(TIME_SLACK if f.kind == "time" else 1.0)]
    if gate and short:
        for name, figure in short:
            console.print(f"gate: {name}: {figure.name} is {figure.value:.3g}, not {figure.sense} {figure.asked:g}")
        raise typer.Exit(1)


if __name__ == "__main__":
    app()
