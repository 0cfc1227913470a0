"""`pacos sync`: upload what W&B lacks of runs, from a machine that can reach it."""

from __future__ import annotations

import argparse
import os
import sys

from launch.commands.parser import CommandParser

DETAILS = """\
Upload to W&B what it lacks of runs, from their metrics.jsonl.

A run that had lives without W&B, or that was killed, is complete there afterwards. Needs
WANDB_API_KEY and a network."""


def declare(parser: CommandParser) -> None:
    """Declare the arguments of the command."""
    parser.description = DETAILS
    parser.add_argument("runs", metavar="RUN", nargs="+", help="run, pipeline or sweep")


def run(args: argparse.Namespace) -> int:
    """Replace this process by the upload, which imports W&B."""
    environment = {**os.environ, "PYTHONSAFEPATH": "1"}
    os.execve(
        sys.executable, [sys.executable, "-m", "pacos.tracking.upload", *args.runs], environment
    )
