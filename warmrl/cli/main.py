"""`warmrl`: the commands, and how an error reaches a person (one paragraph, the right exit code, no traceback)."""

from __future__ import annotations

import logging
import sys
import textwrap
import traceback
from pathlib import Path
from typing import Annotated

import typer

from warmrl import __version__
from warmrl.cli import compare, data, doctor, evaluate, export, plan, plugin, recipe, report, reward, run, runs, watch
from warmrl.domain.errors import Interrupted, WarmrlError

app = typer.Typer(
    name="warmrl",
    help="Two-stage post-training experiments on vision-language models: a warm start, then RL, from one recipe.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("run")(run.run)
app.command("watch")(watch.watch)
app.command("plan")(plan.plan)
app.command("eval")(evaluate.evaluate)
app.command("compare")(compare.compare)
app.command("report")(report.report)
app.command("export")(export.export)
app.command("doctor")(doctor.doctor)
app.add_typer(recipe.app, name="recipe")
app.add_typer(plugin.app, name="plugin")
app.add_typer(runs.app, name="runs")
app.add_typer(reward.app, name="reward")
app.add_typer(data.app, name="data")


def show_version(asked: bool) -> None:
    """Print the version and end."""
    if asked:
        print(__version__)  # noqa: T201
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Say which.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback with an error.")] = False,
) -> None:
    """Options of every command."""


def main() -> None:
    """Run the command line and exit with its code."""
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    add_plugin_commands(sys.argv[1:])
    debug = "--debug" in sys.argv
    code = 0
    sys.argv = [one for one in sys.argv if one != "--debug"]
    try:
        app()
    except WarmrlError as error:
        if debug and not isinstance(error, Interrupted):
            traceback.print_exc()
        print("\n".join(textwrap.wrap(f"warmrl: {error}", 100, break_long_words=False)), file=sys.stderr)  # noqa: T201
        code = error.exit_code
    except KeyboardInterrupt:
        code = 130
    except Exception as error:
        if debug:
            traceback.print_exc()
        print("\n".join(textwrap.wrap(f"warmrl: {unexpected(error, debug)}", 100)), file=sys.stderr)  # noqa: T201
        code = 1
    sys.exit(code)


def unexpected(error: Exception, debug: bool) -> str:
    """What failed that nobody foresaw, often in somebody's plugin, and where."""
    *_, last = traceback.extract_tb(error.__traceback__)
    where = f"{Path(last.filename).name}, line {last.lineno}"
    more = "" if debug else " Run it again with `--debug`."
    return f"something unexpected failed: {type(error).__name__}: {error} ({where}).{more}"


def add_plugin_commands(arguments: list[str]) -> None:
    """Let plugins add their commands; they are loaded only for a command that isn't built in, so help stays quick."""
    known = {one.name for one in app.registered_commands} | {one.name for one in app.registered_groups}
    named = next((one for one in arguments if not one.startswith("-")), None)
    if named is None or named in known:
        return
    from warmrl.plugin.registry import Registry

    for one in Registry.installed().manager.hook.warmrl_register_commands.get_hookimpls():
        try:
            one.function(app)
        except Exception as error:
            why = f"{type(error).__name__}: {error}"
            print(f"warmrl: the plugin `{one.plugin_name}` could not add its commands ({why}).", file=sys.stderr)  # noqa: T201
