"""The coordinator: a background process that carries a pipeline through its parts.

It runs the parts of the login node and waits for the jobs between them. If it is killed, jobs that
are submitted go on, and the same `pacos pipeline` command starts another coordinator.

python -m launch.pipeline.coordinator RUN
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

from launch.config import PipelineConfig
from launch.jobs.queue import read_queue
from launch.local import run_here
from launch.pipeline.chain import submit_chain
from launch.pipeline.finish import finish
from launch.pipeline.parts import PipelinePart, read_parts
from launch.status.read import read_status
from pacos.configs.frozen import load_frozen
from pacos.errors import EXIT_CRASH, EXIT_DONE, EXIT_SAVED, UserError, exit_with
from pacos.run.lives import Lives, State
from pacos.run.open import open_run
from pacos.run_paths import RunPaths

POLL_SECONDS = 10.0
"""Interval between looks at a job. Each look asks Slurm's controller, which all users share."""


def coordinate(config: PipelineConfig, run: RunPaths) -> int:
    """Carry a pipeline through its unfinished parts and return the exit code."""
    lives = Lives(run)
    lives.begin()
    parts = read_parts(config, run.path)
    for number, part in enumerate(parts):
        if part.is_done:
            continue
        try:
            code = _complete(part, parts[number:], run)
        except UserError as error:
            code = exit_with(error)
        if code != EXIT_DONE:
            state = State.saved if code == EXIT_SAVED else State.failed
            reason = f"{part.name} ended with exit code {code}, see {part.run.path}"
            lives.end(state, reason, code)
            print(f"pipeline: {reason}; run the same command again to continue", flush=True)
            return code
    finish(lives)
    return EXIT_DONE


def _complete(part: PipelinePart, left: Sequence[PipelinePart], pipeline: RunPaths) -> int:
    """Run a part here, or submit its job and wait for it; return the exit code.

    Args:
        part: the part.
        left: this part and those after it. Jobs that follow each other are submitted together.
        pipeline: the pipeline's run.
    """
    if pipeline.stop.exists():
        return EXIT_SAVED
    if not part.is_job:
        return run_here(part.config, open_run(part.config), pipeline.stop)
    job_ids = submit_chain([*takewhile(lambda later: later.is_job, left)])
    print(f"{part.name}: job {job_ids[part.name]}", flush=True)
    while not part.is_done:
        # A job records its end in the run before it leaves the queue, so a job that is gone and
        # left no such record has failed. Without an answer from Slurm nothing is known.
        queue = read_queue()
        if queue is not None and not read_status(part.run, queue).is_active:
            break
        if pipeline.stop.exists():
            part.run.stop.touch()
        time.sleep(POLL_SECONDS)
    if part.is_done:
        return EXIT_DONE
    lives = Lives(part.run)
    code, _ = lives.end_of(lives.count()) or (EXIT_CRASH, "")
    print(f"{part.name}: {read_status(part.run, read_queue()).note}", flush=True)
    return code or EXIT_CRASH


if __name__ == "__main__":
    RUN = RunPaths(Path(sys.argv[1]))
    sys.exit(coordinate(load_frozen(Lives(RUN).next_config(), PipelineConfig), RUN))
