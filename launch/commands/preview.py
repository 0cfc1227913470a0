"""`pacos preview`: rows of a training run as the model sees them, each token trained or not."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from launch.commands.parser import CommandParser, positive
from launch.config import SCHEMAS
from launch.local import child_environment
from pacos.configs.compose import compose_checked
from pacos.configs.frozen import freeze
from pacos.run_paths import RunPaths
from sft.config import SFTConfig

DETAILS = """\
Show rows as the model sees them: every token, with a loss or without, and why; then the rows and
tokens of each source, and what is left out. Takes the overrides of a pacos sft command.

The rows are those of the first steps, read back from the batches that the engine would get; --row
takes any row, and says why if the run does not use it. All data is tokenized first, into the cache
that the run will use. In a terminal, colours mark the tokens with a loss; without colours (a pipe,
NO_COLOR), ⟦brackets⟧ do. ‹names› stand for what cannot be shown."""

ROWS = 5
"""Rows shown unless asked otherwise: about a screen."""


def declare(parser: CommandParser) -> None:
    """Declare the arguments of the command."""
    parser.description = DETAILS
    parser.accept_overrides()
    parser.add_argument(
        "--rows",
        dest="count",
        type=positive,
        default=ROWS,
        metavar="N",
        help=f"rows to show (default {ROWS})",
    )
    parser.add_argument(
        "--row",
        metavar="FILE:LINE",
        help="show this row instead; for tables FILE:NUMBER, counted from 1",
    )
    parser.add_argument(
        "--html", metavar="FILE", help="write a self-contained page instead of printing"
    )


def run(args: argparse.Namespace) -> int:
    """Run the program that tokenizes and prints, and return its exit code."""
    config = compose_checked(SFTConfig, SCHEMAS, args.overrides)
    options = [f"--rows={args.count}"]
    options += [] if args.row is None else [f"--row={args.row}"]
    options += [] if args.html is None else [f"--html={args.html}"]
    with tempfile.TemporaryDirectory(prefix="pacos-preview-") as folder:
        file = RunPaths(Path(folder)).config
        freeze(config, file)
        program = [sys.executable, "-m", "sft.preview.run", "--config", str(file), *options]
        returned = subprocess.run(program, env=child_environment(config), check=False).returncode
    # A signal, such as that of a closed pipe, as a shell would report it.
    return returned if returned >= 0 else 128 - returned
