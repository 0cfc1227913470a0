"""`pacos report`: write report.html of runs, pipelines and sweeps."""

from __future__ import annotations

import argparse
from pathlib import Path

from launch.commands.parser import CommandParser
from launch.report.page import write_report
from launch.sweeps.folder import Sweep, run_or_sweep
from launch.sweeps.report import write_sweep_report
from pacos.errors import EXIT_DONE

DETAILS = """\
Write report.html into the folder of each run, pipeline or sweep: one self-contained page.

Runs and sweeps write their report when they end. This command writes it again at any time, also for
a run that is not done."""


def declare(parser: CommandParser) -> None:
    """Declare the arguments of the command."""
    parser.description = DETAILS
    parser.add_argument("folders", metavar="RUN|SWEEP", nargs="+", type=Path)


def run(args: argparse.Namespace) -> int:
    """Write the reports and print their paths.

    Raises:
        UserError: a folder is neither a run nor a sweep; no report is written then.
    """
    for folder in [run_or_sweep(path) for path in args.folders]:
        if isinstance(folder, Sweep):
            print(write_sweep_report(folder))
        else:
            print(write_report(folder.path))
    return EXIT_DONE
