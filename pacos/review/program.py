"""How the programs of `pacos review` begin and end."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from pacos.errors import EXIT_DONE, UserError, exit_with
from pacos.run_paths import RunPaths

Review = Callable[[RunPaths, int | None], None]
"""Shows a run's items at a port, None for any, until it is ended, and writes what came of it."""


def main(arguments: Sequence[str], review: Review) -> int:
    """Show the items of the run that the arguments name; returns the exit code."""
    parser = argparse.ArgumentParser(prog="pacos review", description="Rate items of a run.")
    parser.add_argument("run", type=Path)
    parser.add_argument("--port", type=int, help="of the page; without it the first that is free")
    given = parser.parse_args(arguments)
    try:
        review(RunPaths(given.run.absolute()), given.port)
    except UserError as error:
        return exit_with(error)
    return EXIT_DONE
