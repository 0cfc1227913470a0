"""`pacos export`: a model from any checkpoint of a run, without training."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
from pathlib import Path

from launch.commands.parser import CommandParser
from pacos.errors import UserError
from sft.configs.export import ExportDtype, ExportRequest

DETAILS = """\
Make a model of a checkpoint, without training and without the ranks that saved it.

The checkpoint is verified and read one file's worth at a time, so that a 70B model can be exported
on a login node. The model loads in transformers 4 and 5, in vLLM and in llama.cpp's converter."""


def declare(parser: CommandParser) -> None:
    """Declare the arguments of the command."""
    parser.description = DETAILS
    add = parser.add_argument
    add("run", metavar="RUN", help="run of pacos sft, or pipeline")
    add(
        "--checkpoint",
        metavar="best|N|latest",
        default="latest",
        help="that with the lowest validation loss, that of step N, or the newest (default)",
    )
    add(
        "--dtype",
        choices=[dtype.value for dtype in ExportDtype],
        default=ExportDtype.bf16.value,
        help="number format of the weights (default: bf16)",
    )
    add("--out", metavar="DIR", help="the model's folder (default: RUN/model-step-N)")
    add(
        "--gguf",
        metavar="CONVERTER",
        nargs="?",
        const="",
        help="also write a GGUF file with llama.cpp's convert_hf_to_gguf.py at this path",
    )
    add(
        "--push",
        metavar="OWNER/NAME",
        help="also upload it to the hub, into a private repository; needs HF_TOKEN. A push that "
        "broke off is continued by the same command",
    )
    add("--public", action="store_true", help="push to a repository that everyone can read")


def run(args: argparse.Namespace) -> int:
    """Replace this process by the export, which imports torch.

    Raises:
        UserError: the checkpoint is neither a number nor a word that is known.
    """
    if args.checkpoint not in ("best", "latest") and not args.checkpoint.isdigit():
        raise UserError(f"--checkpoint {args.checkpoint}: must be best, latest or a step's number")
    names = [field.name for field in dataclasses.fields(ExportRequest)]
    given = {name: getattr(args, name) for name in names}
    # The program changes its folder to that of the run's first command.
    for name in ("run", "out", "gguf"):
        if given[name]:
            given[name] = str(Path(given[name]).expanduser().absolute())
    # No GPU: one that the rank of a run uses has no memory to spare.
    environment = {**os.environ, "PYTHONSAFEPATH": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-m", "sft.export.run", json.dumps(given)]
    os.execve(sys.executable, command, environment)
