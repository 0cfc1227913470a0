"""`pacos status`: the state of runs and sweeps, and how to continue them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from launch.commands.parser import CommandParser
from launch.config import JOB_STAGES, PipelineConfig
from launch.jobs.queue import Jobs, read_queue
from launch.status.read import read_status
from launch.status.table import StatusTable
from launch.sweeps.folder import Sweep, run_or_sweep, runs_below
from launch.sweeps.table import show_sweep
from pacos.errors import EXIT_DONE
from pacos.run_paths import RunPaths

DETAILS = """\
Show the state of a run with its stages, of every point of a sweep, or of everything below runs/.

States: not started, queued, running, done, saved (stopped on request), failed, killed."""


def declare(parser: CommandParser) -> None:
    """Declare the arguments of the command."""
    parser.description = DETAILS
    parser.add_argument("folder", metavar="RUN|SWEEP", nargs="?", type=Path)


def run(args: argparse.Namespace) -> int:
    """Print the table of a run, of a sweep, or of all runs.

    Raises:
        UserError: the folder is neither a run nor a sweep.
    """
    jobs = read_queue()
    if args.folder is None:
        _show_all(runs_below(Path("runs")), jobs)
        return EXIT_DONE
    folder = run_or_sweep(args.folder)
    if isinstance(folder, Sweep):
        show_sweep(folder, jobs)
    else:
        _show_run(folder, jobs)
    return EXIT_DONE


def _show_all(entries: Sequence[Sweep | RunPaths], jobs: Jobs | None) -> None:
    if not entries:
        print("no runs below runs/; for a run or sweep elsewhere use: pacos status FOLDER")
        return
    table = StatusTable("run")
    for entry in entries:
        if isinstance(entry, Sweep):
            statuses = [read_status(run, jobs) for run in entry.runs()]
            table.add_group(entry.path.name, f"{entry.stage()} sweep", statuses)
        else:
            table.add_run([entry.path.name], read_status(entry, jobs))
    table.print()


def _show_run(run: RunPaths, jobs: Jobs | None) -> None:
    status = read_status(run, jobs)
    is_pipeline = status.stage == PipelineConfig.STAGE
    table = StatusTable("run")
    for path in (run.path, *([run.path / name for name in JOB_STAGES] if is_pipeline else [])):
        if RunPaths(path).manifest.is_file():
            table.add_run([path.name], read_status(RunPaths(path), jobs))
    table.print()
    if status.needs_work:
        print("run the same command again to continue it")
