"""`pacos review`: a web page on which a person rates items of a run, then the run's report."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from eval.config import EvalConfig
from launch.commands.parser import CommandParser
from launch.config import PipelineConfig
from launch.report.page import write_report
from pacos.errors import EXIT_DONE, UserError
from pacos.files import read_json
from pacos.run_paths import RunPaths
from selfinstruct.config import SelfInstructConfig

PROGRAMS = {EvalConfig.STAGE: "eval.review", SelfInstructConfig.STAGE: "selfinstruct.review"}
"""Program that serves the page, by stage."""

DETAILS = """\
Rate items of a run on a local web page, whose address is printed.

For an evaluation with suite=geval: answers that the judge is unsure of, and others drawn by chance.
Your ratings correct the judge's scores in the report. For generated data: rows.

Each rating is saved at once. Ctrl-C ends; the same command continues."""


def declare(parser: CommandParser) -> None:
    """Declare the arguments of the command."""
    parser.description = DETAILS
    parser.add_argument("run", metavar="RUN", type=Path)
    parser.add_argument(
        "--port", type=int, metavar="N", help="port of the page (default: the first free one)"
    )


def run(args: argparse.Namespace) -> int:
    """Serve the page until it is ended, write the report and return the exit code.

    Raises:
        UserError: the folder is no run, or its stage has nothing to rate.
    """
    run_path: Path = args.run
    manifest = RunPaths(run_path).manifest
    if not manifest.is_file():
        raise UserError(f"{run_path}: not a run; give the folder of one, such as runs/demo/eval")
    stage = str(read_json(manifest)["stage"])
    if stage == PipelineConfig.STAGE:
        stages = " or ".join(str(run_path / name) for name in PROGRAMS)
        raise UserError(f"{run_path}: is a pipeline; choose one of its runs: {stages}")
    if stage not in PROGRAMS:
        raise UserError(
            f"{run_path}: is a run of {stage}, which has nothing to rate; give a run of "
            "selfinstruct, or of eval with suite=geval"
        )
    port = [] if args.port is None else ["--port", str(args.port)]
    code = _wait([sys.executable, "-m", PROGRAMS[stage], str(run_path), *port])
    if code == EXIT_DONE:
        print(write_report(run_path))
    return code


def _wait(command: Sequence[str]) -> int:
    """Run a child to its end. A terminal sends it Ctrl-C directly; SIGTERM is passed on."""
    child = subprocess.Popen(command, env={**os.environ, "PYTHONSAFEPATH": "1"})
    # SIGINT is ignored here, because the report is written after the child has ended by it.
    handlers = {
        signal.SIGINT: signal.signal(signal.SIGINT, lambda *_: None),
        signal.SIGTERM: signal.signal(signal.SIGTERM, lambda *_: child.terminate()),
    }
    try:
        return child.wait()
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
