"""The command, waiting two seconds for another machine's file and not the half minute that a network may need."""

import sys

from warmrl.cli.main import main
from warmrl.engine import shared_folder


def run(*arguments: str) -> None:
    """`warmrl ARGUMENTS`."""
    shared_folder.PATIENCE = 2.0
    sys.argv = ["warmrl", *arguments]
    main()
