"""`pacos resubmit`: continue a sweep or a run from its frozen configs."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from launch.commands.parser import CommandParser
from launch.config import SCHEMA_OF
from launch.dispatch import dispatch
from launch.sweeps.folder import Sweep, run_or_sweep
from launch.sweeps.runs import continue_sweep
from pacos.configs.frozen import load_frozen
from pacos.errors import UserError
from pacos.files import read_json
from pacos.run.lives import Lives
from pacos.run_paths import RunPaths

DETAILS = """\
Continue from frozen configs, without the overrides of the first command.

Of a sweep, the points that are neither done nor active are run or submitted again. A run, such as
a part of a pipeline, is continued by itself."""


def declare(parser: CommandParser) -> None:
    """Declare the arguments of the command."""
    parser.description = DETAILS
    parser.add_argument("folder", metavar="RUN|SWEEP", type=Path)


def run(args: argparse.Namespace) -> int:
    """Continue a sweep or a run and return the exit code.

    Raises:
        UserError: the folder is neither, it is a search, or nothing could be started.
    """
    return resubmit(run_or_sweep(args.folder))


def resubmit(folder: Sweep | RunPaths) -> int:
    """Run or submit what is left of a sweep or a run, from the folder of its first command.

    Relative paths in a config start at that folder.

    Raises:
        UserError: it is a search, or nothing could be started.
    """
    if isinstance(folder, Sweep):
        if folder.search() is not None:
            raise UserError(f"{folder.path}: is a search; run its own command again to continue it")
        os.chdir(folder.working_folder())
        return continue_sweep(folder)
    manifest = read_json(folder.manifest)
    os.chdir(manifest["folder"])
    config = load_frozen(Lives(folder).next_config(), SCHEMA_OF[manifest["stage"]])
    config.run.root, config.run.name = str(folder.path.parent), folder.path.name
    return dispatch(config)
