"""A pipeline on a cluster: dependent jobs, and a keeper for what is done beside them.

Where all that is left are jobs, nothing has to stay alive. Otherwise a process in the background,
the keeper, does the parts of the login node and waits for the jobs between them. If it ends before
them, the same command starts another.

python -m launch.pipeline.chain RUN
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

from launch.config import PipelineConfig
from launch.jobs.queue import ask, job_of, jobs
from launch.jobs.submit import submit, undone_if_refused
from launch.local import run_here
from launch.pipeline.finish import conclude, finish
from launch.pipeline.parts import Link, read_links
from launch.status.read import read_status
from pacos.configs.frozen import load_frozen
from pacos.errors import EXIT_CRASH, EXIT_DONE, EXIT_SAVED, UserError, exit_with
from pacos.run.lives import Lives, State
from pacos.run.open import open_run
from pacos.run_paths import RunPaths

POLL_SECONDS = 10.0
"""Between looks at a job that is waited for."""
START_SECONDS = 30.0
"""For the keeper to take up the run."""


def begin_chain(config: PipelineConfig, run: RunPaths) -> int:
    """Have done what is left of a pipeline with jobs in it, and return at once.

    Raises:
        UserError: a job was refused, and no other one was submitted.
    """
    if run.manifest.is_file() and read_status(run, None).state == "running":
        print(f"pipeline: {run.path}\n  its keeper is at work; pacos status {run.path}")
        return EXIT_DONE
    with undone_if_refused(run.path, []):
        open_run(config)
        left = [link for link in read_links(config, run.path) if not link.is_done]
        submitted = submit_links([*takewhile(lambda link: link.is_job, left)])
    if not left:
        return conclude(run)
    print(f"pipeline: {run.path}")
    for name, job in submitted.items():
        print(f"  {name:<12} job {job}")
    if len(submitted) < len(left):
        return _start_keeper(run)
    print(f"  nothing has to stay alive; pacos status {run.path} shows it")
    return EXIT_DONE


def submit_links(links: Sequence[Link]) -> dict[str, str]:
    """Submit jobs in a row, each to begin after the success of the one before; returns their ids.

    Raises:
        UserError: one was refused, and the others are cancelled.
    """
    submitted: dict[str, str] = {}
    new: list[str] = []
    after: str | None = None
    try:
        for link in links:
            queued = job_of(link.run)
            after = queued.id if queued else submit(link.config, after)
            if queued is None:
                new.append(after)
            submitted[link.name] = after
    except BaseException:
        if new:
            ask("scancel", *new)
        raise
    return submitted


def _start_keeper(run: RunPaths) -> int:
    log = run.pipeline_log
    with log.open("ab") as out:
        keeper = subprocess.Popen(
            [sys.executable, "-m", "launch.pipeline.chain", str(run.path)],
            env={**os.environ, "PYTHONSAFEPATH": "1"},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    lives, ends_by = Lives(run), time.monotonic() + START_SECONDS
    before = lives.count()
    while lives.count() == before and keeper.poll() is None and time.monotonic() < ends_by:
        time.sleep(0.1)
    if keeper.poll() not in (None, EXIT_DONE):
        raise UserError(f"its keeper ended at once; {log} says why")
    print(
        f"  process {keeper.pid} keeps it going, also when this terminal is closed:\n"
        f"  tail -f {log}\n  pacos status {run.path}"
    )
    return EXIT_DONE


def keep(config: PipelineConfig, run: RunPaths) -> int:
    """Do the parts of this machine, and wait for the jobs between them; returns the exit code."""
    lives = Lives(run)
    lives.begin()
    links = read_links(config, run.path)
    for number, link in enumerate(links):
        if link.is_done:
            continue
        try:
            code = _do(link, links[number:], run)
        except UserError as error:
            code = exit_with(error)
        if code != EXIT_DONE:
            state = State.saved if code == EXIT_SAVED else State.failed
            reason = f"{link.name} ended with exit code {code}, see {link.run.path}"
            lives.end(state, reason, code)
            print(f"pipeline: {reason}; the same command goes on from there", flush=True)
            return code
    finish(lives)
    return EXIT_DONE


def _do(link: Link, left: Sequence[Link], pipeline: RunPaths) -> int:
    if pipeline.stop.exists():
        return EXIT_SAVED
    if not link.is_job:
        return run_here(link.config, open_run(link.config), pipeline.stop)
    chain = submit_links([*takewhile(lambda one: one.is_job, left)])
    print(f"{link.name}: job {chain[link.name]}", flush=True)
    while not link.is_done:
        # The job's own word is on the disk before it leaves the queue.
        if (known := jobs()) is not None and not read_status(link.run, known).is_at_work:
            break
        if pipeline.stop.exists():
            link.run.stop.touch()
        time.sleep(POLL_SECONDS)
    if link.is_done:
        return EXIT_DONE
    lives = Lives(link.run)
    code, _ = lives.end_of(lives.count()) or (EXIT_CRASH, "")
    print(f"{link.name}: {read_status(link.run, jobs()).note}", flush=True)
    return code or EXIT_CRASH


if __name__ == "__main__":
    RUN = RunPaths(Path(sys.argv[1]))
    sys.exit(keep(load_frozen(Lives(RUN).next_config(), PipelineConfig), RUN))
