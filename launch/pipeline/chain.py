"""A pipeline with Slurm jobs in it: a chain of dependent jobs, and a coordinator if needed.

If only jobs are left to do, they are submitted as a chain and no process has to stay alive.
Otherwise a background process, the coordinator, runs the parts of the login node and waits for the
jobs between them.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import takewhile

from launch.config import PipelineConfig
from launch.jobs.queue import job_of, slurm_output
from launch.jobs.submit import submit, undo_on_error
from launch.pipeline.finish import conclude
from launch.pipeline.parts import PipelinePart, read_parts
from launch.status.read import read_status
from pacos.errors import EXIT_DONE, UserError
from pacos.run.lives import Lives
from pacos.run.open import open_run
from pacos.run_paths import RunPaths

START_SECONDS = 30.0
"""Time limit for the coordinator to begin a life of the pipeline's run; it takes about a second."""


def submit_pipeline(config: PipelineConfig, run: RunPaths) -> int:
    """Submit what is left of a pipeline with jobs in it, and return without waiting for it.

    Raises:
        UserError: Slurm refused a job; the jobs submitted before it are cancelled.
    """
    # Its coordinator is a process on a login node, which Slurm's queue does not know.
    if run.manifest.is_file() and read_status(run, None).state == "running":
        print(f"pipeline: {run.path}\n  its coordinator is running; pacos status {run.path}")
        return EXIT_DONE
    with undo_on_error(run.path, []):
        open_run(config)
        left = [part for part in read_parts(config, run.path) if not part.is_done]
        # Jobs that come first are submitted here, so that a refusal reaches the user's terminal.
        job_ids = submit_chain([*takewhile(lambda part: part.is_job, left)])
    if not left:
        return conclude(run)
    print(f"pipeline: {run.path}")
    for name, job_id in job_ids.items():
        print(f"  {name:<12} job {job_id}")
    if len(job_ids) < len(left):
        return _start_coordinator(run)
    print(f"  no process has to stay alive; check it with: pacos status {run.path}")
    return EXIT_DONE


def submit_chain(parts: Sequence[PipelinePart]) -> dict[str, str]:
    """Submit jobs that each wait for the success of the one before, and return their ids by part.

    A part whose job is still queued or running keeps it, and the next one waits for that.

    Raises:
        UserError: Slurm refused a job; the jobs submitted before it are cancelled.
    """
    job_ids: dict[str, str] = {}
    submitted: list[str] = []
    previous: str | None = None
    try:
        for part in parts:
            queued = job_of(part.run)
            previous = queued.id if queued else submit(part.config, previous)
            if queued is None:
                submitted.append(previous)
            job_ids[part.name] = previous
    except BaseException:
        if submitted:
            slurm_output("scancel", *submitted)
        raise
    return job_ids


def _start_coordinator(run: RunPaths) -> int:
    log = run.pipeline_log
    with log.open("ab") as out:
        coordinator = subprocess.Popen(
            [sys.executable, "-m", "launch.pipeline.coordinator", str(run.path)],
            env={**os.environ, "PYTHONSAFEPATH": "1"},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            # Its own session, so that closing the terminal does not end it.
            start_new_session=True,
        )
    lives, deadline = Lives(run), time.monotonic() + START_SECONDS
    before = lives.count()
    while lives.count() == before and coordinator.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    if coordinator.poll() not in (None, EXIT_DONE):
        raise UserError(f"the pipeline's coordinator failed to start; see {log}")
    print(
        f"  coordinator: process {coordinator.pid}; it keeps running if this terminal closes\n"
        f"  tail -f {log}\n  pacos status {run.path}"
    )
    return EXIT_DONE
