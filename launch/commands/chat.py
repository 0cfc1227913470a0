"""`pacos chat`: a conversation with a run's model, or with any other, in the terminal."""

from __future__ import annotations

import argparse
import os
import sys

from launch.commands.parser import CommandParser

DETAILS = """\
Talk to the model of a run, or to any other chat model.

/reset starts a new conversation, Ctrl-C cuts an answer short, Ctrl-D quits. If the input is a pipe,
each line is one message."""


def declare(parser: CommandParser) -> None:
    """Declare the arguments of the command."""
    parser.description = DETAILS
    parser.add_argument(
        "model", metavar="RUN|MODEL", help="run directory, model directory or hub id"
    )


def run(args: argparse.Namespace) -> int:
    """Replace this process by the conversation, which then owns the terminal and its signals."""
    environment = {**os.environ, "PYTHONSAFEPATH": "1"}
    os.execve(sys.executable, [sys.executable, "-m", "sft.chat", args.model], environment)
