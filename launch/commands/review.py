"""`pacos review`: the page of a run in a process of its own, then the report."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from eval.config import EvalConfig
from launch.config import PipelineConfig
from launch.report.page import write_report
from pacos.errors import EXIT_DONE, UserError
from pacos.files import read_json
from pacos.run_paths import RunPaths
from selfinstruct.config import SelfInstructConfig

PROGRAMS = {EvalConfig.STAGE: "eval.review", SelfInstructConfig.STAGE: "selfinstruct.review"}


def review(run: Path, options: Sequence[str]) -> int:
    """Have a person look at a run; returns the exit code.

    Raises:
        UserError: the folder is no run, or one of a stage without anything to look at.
    """
    manifest = RunPaths(run).manifest
    if not manifest.is_file():
        raise UserError(f"{run}: not a run; give the folder of one, such as runs/demo/eval")
    stage = str(read_json(manifest)["stage"])
    if stage == PipelineConfig.STAGE:
        inner = " or ".join(str(run / name) for name in PROGRAMS)
        raise UserError(f"{run}: a pipeline; choose one of its runs: {inner}")
    if stage not in PROGRAMS:
        raise UserError(
            f"{run}: a run of {stage}, which has nothing to rate; give a run of selfinstruct, or "
            "of eval with suite=geval"
        )
    code = _wait([sys.executable, "-m", PROGRAMS[stage], str(run), *options])
    if code == EXIT_DONE:
        print(write_report(run))
    return code


def _wait(command: Sequence[str]) -> int:
    """Run a child that a terminal's Ctrl-C reaches by itself, and hand it other signals to end."""
    child = subprocess.Popen(command, env={**os.environ, "PYTHONSAFEPATH": "1"})
    before = {
        signal.SIGINT: signal.signal(signal.SIGINT, lambda *_: None),
        signal.SIGTERM: signal.signal(signal.SIGTERM, lambda *_: child.terminate()),
    }
    try:
        return child.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
