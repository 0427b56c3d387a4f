"""`warmrl pocket`: rebuild the shipped models, and print a contact sheet of the figures."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from warmrl.api import WarmrlError

pocket = typer.Typer(help="The tiny model and task that warmrl ships.", no_args_is_help=True)


@pocket.command()
def build(
    out: Annotated[Path, typer.Option(help="Folder for the checkpoints `base` and `teacher`.")] = Path("pocket"),
    recipes: Annotated[Path, typer.Option(help="Folder of base.toml and teacher.toml.")] = Path("recipes/pocket"),
) -> None:
    """Train the base and the teacher from random weights, and write each with a manifest of hashes and scores."""
    from warmrl_pocket.release import ship

    for name in ("base", "teacher"):
        command = [sys.executable, "-m", "warmrl", "run", str(recipes / f"{name}.toml"), "--json"]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)  # noqa: S603
        if done.returncode:
            raise WarmrlError(f"The recipe {recipes / name}.toml failed (exit code {done.returncode}); see above.")
        run = Path(json.loads(done.stdout.splitlines()[-1])["run"])
        stages = json.loads((run / "run.json").read_text())["stages"]
        score = ship(run / stages[list(stages)[-1]]["store"] / "policy", out / name)
        typer.echo(f"{out / name}: {score}")


@pocket.command()
def sheet(file: Annotated[Path, typer.Argument(help="PNG file to write.")]) -> None:
    """Draw six figures of every kind onto one picture."""
    from warmrl_pocket.sheet import contact_sheet

    contact_sheet().save(file, optimize=True)
    typer.echo(str(file))
