"""`pacos lineage RUN --terms`: the terms of what a run made, from the terms of its inputs."""

from __future__ import annotations

import argparse
from pathlib import Path

from launch.commands.parser import CommandParser
from launch.lineage.terms import terms_of
from pacos.errors import EXIT_DONE, UserError
from pacos.run_paths import RunPaths

DETAILS = """\
Show where a data set or a model comes from, as the manifests of its runs record it.

--terms prints the chain of licences and output terms: each input, the duties it brings, the clauses
that forbid a use, and what the model may be used for. This is no legal advice; docs/licences.md
explains the terms."""


def declare(parser: CommandParser) -> None:
    """Declare the arguments of the command."""
    parser.description = DETAILS
    parser.add_argument("run", metavar="RUN", type=Path)
    # Required until there is another view.
    parser.add_argument(
        "--terms", action="store_true", required=True, help="licences, duties and permitted use"
    )


def run(args: argparse.Namespace) -> int:
    """Print the terms of a run.

    Raises:
        UserError: the folder holds no run, or one that records no terms.
    """
    subject = RunPaths(args.run.expanduser().absolute())
    if not subject.manifest.is_file():
        raise UserError(f"{args.run}: is no run; give the folder of one, such as runs/demo")
    print(terms_of(subject))
    return EXIT_DONE
